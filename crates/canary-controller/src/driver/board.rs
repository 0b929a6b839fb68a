use std::{collections::BTreeMap, sync::Arc, time::Duration};

use canary_core::Weight;
use canary_rollout::{
    fleet::{BoardList, BoardSign, FleetCounts, Roster},
    replica::{BEAT, ReplicaId},
};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::{
    compact::{self, Compact, LatestCompact},
    driver::{
        attempt_id::AttemptId,
        document_error::{DocumentError, write},
        own_document::OwnDocument,
        watched_keys::BoardKeys,
    },
    store::{
        Document, KeyRange, Listed, Retry, Revision, StateStore, StoreError, StoreKey, Versioned,
    },
};

/// The board of a canary in the store: an entry of each replica, with its counts since the attempt
/// began. Only that replica writes it, and the driver of the rollout reads all of them.
pub(super) struct Board {
    store: Arc<dyn StateStore>,
    range: KeyRange,
    me: ReplicaId,
    /// The entry of this replica. No other one writes it.
    entry: OwnDocument,
    /// The number of attempts of a publication by this replica.
    beat: u64,
    attempt: Option<AttemptId>,
    /// The latest publication in this attempt.
    published: Option<Publication>,
    /// The counts of the latest attempt to publish.
    latest: LatestCompact<FleetCounts>,
    /// Whether that was the last one.
    is_closed: bool,
    due: Due,
    /// Whether the latest publication failed.
    is_failing: bool,
    listed: Option<Listing>,
    /// The entries that are not of the present attempt or of one before, and the times since which they
    /// have not changed.
    others: BTreeMap<StoreKey, (Revision, Instant)>,
    roster: Roster,
}

/// What the entry of this replica has.
struct Publication {
    sign: BoardSign,
    counts: Compact<FleetCounts>,
}

/// The latest list of the board.
struct Listing {
    at: Instant,
    list: BoardList,
    /// The new keys of the other replicas.
    keys: Vec<(ReplicaId, BoardKeys)>,
    /// Whether the judge has observed it.
    is_judged: bool,
}

/// A list for the next look of the judge.
pub(super) struct Unjudged<'a> {
    pub(super) list: &'a BoardList,
    /// The new keys of the other replicas.
    pub(super) keys: &'a [(ReplicaId, BoardKeys)],
    /// The roster that the look changes.
    pub(super) roster: &'a mut Roster,
}

/// The time at which the next publication is due.
#[derive(Clone, Copy, Debug)]
enum Due {
    At(Instant),
    /// A random number of beats after the latest publication, from a half to one and a half. The
    /// publications of a fleet are evenly distributed after one of these intervals, however they were
    /// before, because it is a whole beat wide. The number of replicas may become known in between.
    After {
        publication: Instant,
        beats: f64,
    },
}

/// The document of one replica.
#[derive(Deserialize, Serialize)]
struct BoardEntry {
    #[serde(flatten)]
    sign: BoardSign,
    #[serde(flatten)]
    attempt: AttemptId,
    counts: Compact<FleetCounts>,
    /// The new keys, for monitors per key.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "compact")]
    keys: Option<BoardKeys>,
}

impl Publication {
    /// Returns the entry without counts and keys, which only other replicas read.
    fn to_entry(&self, attempt: &AttemptId) -> BoardEntry {
        let (sign, counts) = (self.sign.clone(), Compact::default());
        BoardEntry { sign, attempt: attempt.clone(), counts, keys: None }
    }
}

impl BoardEntry {
    /// Returns a smaller entry, as [smaller evidence](super::stored_evidence::StoredEvidence::smaller):
    /// with half of the weights before the `current` one closed, or, if all of them are, with half of
    /// the keys. Returns `None` if there is nothing to leave out.
    fn smaller(mut self, current: Weight) -> Option<Self> {
        let closing = self.counts.earlier_half(current);
        if closing.is_empty() {
            self.keys = Some(self.keys?.halved()?);
        } else {
            let mut counts = self.counts.into_inner();
            counts.close(&closing);
            self.counts = counts.into();
            self.sign.closed.extend(&closing);
        }
        Some(self)
    }
}

impl Board {
    pub(super) fn new(store: Arc<dyn StateStore>, range: KeyRange, me: ReplicaId) -> Self {
        let name = me.as_str().parse().expect("the id is hexadecimal");
        let entry = OwnDocument::new(Arc::clone(&store), range.key(&name));
        Self {
            store,
            range,
            me,
            entry,
            beat: 0,
            attempt: None,
            published: None,
            latest: LatestCompact::default(),
            is_closed: false,
            due: Due::At(Instant::now()),
            is_failing: false,
            listed: None,
            others: BTreeMap::new(),
            roster: Roster::default(),
        }
    }

    /// Begins an attempt, unless it is the present one.
    pub(super) fn enter(&mut self, attempt: AttemptId) {
        if self.attempt.as_ref() == Some(&attempt) {
            return;
        }
        self.attempt = Some(attempt);
        (self.published, self.is_closed) = (None, false);
        (self.listed, self.roster) = (None, Roster::default());
        // All replicas enter at the same time, and must not publish in step.
        self.due = Due::At(Instant::now() + self.me.jitter());
    }

    /// Enters an attempt whose judge begins without evidence.
    pub(super) fn begin(&mut self, attempt: AttemptId) {
        self.enter(attempt);
        self.roster.begin();
    }

    /// Returns whether the present attempt is this one.
    pub(super) fn is_of(&self, attempt: &AttemptId) -> bool {
        self.attempt.as_ref() == Some(attempt)
    }

    /// Takes over what the latest evidence knows about the replicas. The next look lists the board.
    pub(super) fn follow(&mut self, roster: Roster) {
        (self.roster, self.listed) = (roster, None);
    }

    /// Returns what is known about the replicas.
    pub(super) const fn roster(&self) -> &Roster {
        &self.roster
    }

    /// Returns what the next look of the judge needs: once for each list, so that a look has the calls of
    /// the same time on all replicas. Without other replicas, and while lists fail, the calls of this
    /// replica are looked at by themselves.
    pub(super) fn unjudged(&mut self) -> Option<Unjudged<'_>> {
        let late = 2 * self.roster.beat();
        let Some(listed) = self.listed.as_mut() else {
            // The judge waits for the board if it has observed calls of other replicas.
            let is_alone = !self.roster.has_others(&self.me);
            let (list, keys) = (&NOTHING_LISTED, &[][..]);
            return is_alone.then_some(Unjudged { list, keys, roster: &mut self.roster });
        };
        let is_due =
            !listed.is_judged || listed.list.is_alone(&self.me) || listed.at.elapsed() >= late;
        listed.is_judged = true;
        let Listing { list, keys, .. } = listed;
        is_due.then_some(Unjudged { list, keys, roster: &mut self.roster })
    }

    /// Returns whether no other replica has an entry, as far as this one knows.
    pub(super) fn is_alone(&self) -> bool {
        let lists_none = |listed: &Listing| listed.list.is_alone(&self.me);
        !self.roster.has_others(&self.me) && self.listed.as_ref().is_some_and(lists_none)
    }

    /// Makes a look due, even if the latest list was judged.
    pub(super) fn judge_again(&mut self) {
        if let Some(listed) = &mut self.listed {
            listed.is_judged = false;
        }
    }

    /// Notes that the judge has observed what this replica has last published. Its later calls belong
    /// to this step of the plan, or to a later one.
    pub(super) fn note_judged(&mut self, step: usize) {
        self.roster.note_judged(&self.me, step);
    }

    /// Returns whether it is time to publish, even without new counts.
    pub(super) fn is_publication_due(&self) -> bool {
        match self.due {
            Due::At(at) => Instant::now() >= at,
            Due::After { publication, beats } => {
                let beat = self.roster.beat();
                // In a small fleet, the first publications are evenly distributed in the beat.
                let delay = if beat > BEAT { beat.mul_f64(beats) } else { beat };
                publication.elapsed() >= delay
            }
        }
    }

    /// Returns whether to list the board: the latest list is older than a beat, and the store is not
    /// known to be away.
    pub(super) fn is_list_due(&self) -> bool {
        let is_recent = |listed: &Listing| listed.at.elapsed() < self.roster.beat();
        !self.is_failing && !self.listed.as_ref().is_some_and(is_recent)
    }

    /// Returns whether the board has these counts of this replica.
    pub(super) fn has(&self, counts: &FleetCounts) -> bool {
        self.published.as_ref().is_some_and(|published| *published.counts == *counts)
    }

    /// Returns whether the last publication of the attempt is missing.
    pub(super) const fn is_open(&self) -> bool {
        self.published.is_some() && !self.is_closed
    }

    /// Notes that the last publication of the attempt is made.
    pub(super) const fn close(&mut self) {
        self.is_closed = true;
    }

    /// Returns the number of the next attempt to publish.
    pub(super) const fn next_beat(&mut self) -> u64 {
        self.beat += 1;
        self.beat
    }

    /// Publishes the counts and the new keys of this replica in the present attempt. The beat of the
    /// sign must be the [next](Self::next_beat) one: if the result of a publication is unknown, the
    /// driver may have seen its counts, and a later one must differ from it.
    ///
    /// A publication that is too large leaves out weights before the `current` one, and then keys.
    pub(super) async fn publish(
        &mut self,
        sign: BoardSign,
        counts: &FleetCounts,
        keys: Option<BoardKeys>,
        current: Weight,
    ) -> Result<(), DocumentError> {
        let Some(attempt) = self.attempt.clone() else { return Ok(()) };
        let counts = self.latest.of(counts);
        let written = write_entry(BoardEntry { sign, attempt, counts, keys }, current);
        let swapped = match &written {
            Ok((_, document)) => self.entry.write(document).await,
            Err(_) => Ok(()),
        };
        // A failed publication is repeated with the next beat.
        self.due = Due::After { publication: Instant::now(), beats: 0.5 + rand::random::<f64>() };
        self.is_failing = swapped.is_err();
        swapped?;
        let BoardEntry { sign, counts, .. } = written?.0;
        self.roster.note_published(&self.me, sign.beat, sign.first_step);
        self.published = Some(Publication { sign, counts });
        Ok(())
    }

    /// Lists the board. Removes the entries of earlier attempts, those whose counts are in the `stored`
    /// roster, and those that a lineage before a loss of the store has left.
    pub(super) async fn list(
        &mut self,
        stored: Option<&Roster>,
        first_step: usize,
    ) -> Result<(), StoreError> {
        let Some(attempt) = self.attempt.clone() else { return Ok(()) };
        let listed = self.store.list(&self.range).await?;
        let (mut list, mut keys) = (BoardList::default(), Vec::new());
        let (mut obsolete, mut others) = (Vec::new(), BTreeMap::new());
        for Listed { key, document } in listed {
            // An entry that cannot be read is left for inspection.
            let Ok(Versioned { revision, document }) = document else { continue };
            let is_own = key == *self.entry.key() && self.entry.is_at(&revision);
            let entry = match &self.published {
                // To read it would take longer than the rest of a list of one entry.
                Some(own) if is_own => own.to_entry(&attempt),
                _ => match serde_json::from_str(document.as_str()) {
                    Ok(entry) => entry,
                    Err(_) => continue,
                },
            };
            let is_present = entry.attempt == attempt;
            let is_folded = || stored.is_some_and(|stored| stored.has_folded(&entry.sign));
            if is_present && !is_folded() {
                let replica = &entry.sign.replica;
                if *replica != self.me {
                    keys.extend(entry.keys.map(|keys| (replica.clone(), keys)));
                }
                list.push(entry.sign, entry.counts.into_inner());
            } else if is_present || entry.attempt.is_before(&attempt) {
                obsolete.push((key, revision));
            } else {
                others.insert(key, revision);
            }
        }
        obsolete.extend(self.note_others(others));
        let passed = self.listed.as_ref().map_or(Duration::ZERO, |listed| listed.at.elapsed());
        // While this replica could not list, it has heard nothing: the others were not silent.
        self.roster.observe(passed.min(2 * self.roster.beat()), list.signs());
        self.roster.note_present(&self.me, first_step);
        self.listed = Some(Listing { at: Instant::now(), list, keys, is_judged: false });
        for (key, revision) in obsolete.into_iter().take(MAX_REMOVALS) {
            let remove = self.store.remove(&key, &revision);
            match remove.await {
                Ok(_) => {}
                // The next list finds it again.
                Err(error) if error.retry() == Retry::AfterLoad => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Board {
    /// Notes the entries of other lineages and of later attempts, and returns those that have not
    /// changed for a [quarter of an hour](Roster::FORGOTTEN). The others may be of replicas that know
    /// of a new document of the rollout before this one does.
    fn note_others(&mut self, others: BTreeMap<StoreKey, Revision>) -> Vec<(StoreKey, Revision)> {
        let now = Instant::now();
        let before = std::mem::take(&mut self.others);
        for (key, revision) in others {
            let since = before.get(&key).filter(|(known, _)| *known == revision);
            let since = since.map_or(now, |(_, since)| *since);
            self.others.insert(key, (revision, since));
        }
        let is_left = |since: &Instant| now - *since >= Roster::FORGOTTEN;
        let left = self.others.iter().filter(|(_, (_, since))| is_left(since));
        left.map(|(key, (revision, _))| (key.clone(), revision.clone())).collect()
    }
}

/// Serializes an entry. Makes it smaller until it fits into a document.
fn write_entry(
    entry: BoardEntry,
    current: Weight,
) -> Result<(BoardEntry, Document), DocumentError> {
    match write(&entry) {
        Ok(document) => Ok((entry, document)),
        Err(error) => {
            let smaller = entry.smaller(current);
            smaller.map_or(Err(error), |smaller| write_entry(smaller, current))
        }
    }
}

static NOTHING_LISTED: BoardList = BoardList::EMPTY;

/// The maximum number of entries that are removed after one list, so that it does not delay the tick.
const MAX_REMOVALS: usize = 16;

#[cfg(test)]
mod tests;
