use std::{sync::Arc, time::Duration};

use canary_core::Weight;
use canary_rollout::{
    fleet::{BoardList, BoardSign, FleetCounts, Roster},
    replica::ReplicaId,
};
use tokio::time::Instant;

use self::{due::Due, entry::BoardEntry, foreign_entries::ForeignEntries};
use crate::{
    compact::LatestCompact,
    driver::{
        attempt_id::AttemptId, document_error::DocumentError, own_document::OwnDocument,
        watched_keys::BoardKeys,
    },
    store::{KeyRange, Listed, Retry, Revision, StateStore, StoreError, StoreKey, Versioned},
};

mod due;
mod entry;
mod foreign_entries;

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
    /// The latest publication in this attempt, without keys.
    published: Option<BoardEntry>,
    /// The counts of the latest attempt to publish.
    latest: LatestCompact<FleetCounts>,
    /// Whether that was the last one.
    is_closed: bool,
    due: Due,
    /// Whether the latest publication failed.
    is_failing: bool,
    listed: Option<Listing>,
    foreign: ForeignEntries,
    roster: Roster,
    /// Whether the stored evidence is that of the present judge.
    has_evidence: bool,
}

/// Whether a replica stays, or publishes its last entry.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Presence {
    Stays,
    Leaves,
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
            foreign: ForeignEntries::default(),
            roster: Roster::default(),
            has_evidence: false,
        }
    }

    /// Begins an attempt, unless it is the present one.
    pub(super) fn enter(&mut self, attempt: AttemptId) {
        if self.attempt.as_ref() == Some(&attempt) {
            return;
        }
        self.attempt = Some(attempt);
        (self.published, self.is_closed) = (None, false);
        (self.listed, self.roster, self.has_evidence) = (None, Roster::default(), false);
        // All replicas enter at the same time, and must not publish in step.
        self.due = Due::At(Instant::now() + self.me.jitter());
    }

    /// Enters an attempt whose judge begins without evidence.
    pub(super) fn begin(&mut self, attempt: AttemptId) {
        self.enter(attempt);
        self.roster.begin();
        self.has_evidence = false;
    }

    /// Returns whether the present attempt is this one.
    pub(super) fn is_of(&self, attempt: &AttemptId) -> bool {
        self.attempt.as_ref() == Some(attempt)
    }

    /// Takes over what the latest evidence knows about the replicas. The next look lists the board.
    pub(super) fn follow(&mut self, roster: Roster) {
        (self.roster, self.listed, self.has_evidence) = (roster, None, true);
    }

    /// Notes that the evidence of the present judge is stored.
    pub(super) const fn note_stored(&mut self) {
        self.has_evidence = true;
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
        self.due.is_past(self.roster.beat())
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
        let written = BoardEntry { sign, attempt, counts, keys }.write(current);
        let swapped = match &written {
            Ok((_, document)) => self.entry.write(document).await,
            Err(_) => Ok(()),
        };
        // A failed publication is repeated with the next beat.
        self.due = Due::after(Instant::now());
        self.is_failing = swapped.is_err();
        swapped?;
        let (entry, _) = written?;
        self.roster.note_published(&self.me, entry.sign.beat, entry.sign.first_step);
        self.published = Some(BoardEntry { keys: None, ..entry });
        Ok(())
    }

    /// Lists the board. Removes the entries of earlier attempts, those whose counts are in the `stored`
    /// roster, and those that a lineage before a loss of the store has left. If the present judge has
    /// discarded the stored evidence, it has not observed what that roster has.
    pub(super) async fn list(
        &mut self,
        stored: Option<&Roster>,
        first_step: usize,
    ) -> Result<(), StoreError> {
        let Some(attempt) = self.attempt.clone() else { return Ok(()) };
        let stored = stored.filter(|_| self.has_evidence);
        let (mut list, mut keys) = (BoardList::default(), Vec::new());
        let (mut obsolete, mut foreign) = (Vec::new(), Vec::new());
        for Listed { key, document } in self.store.list(&self.range).await? {
            // An entry that cannot be read is left for inspection.
            let Ok(document) = document else { continue };
            let Some(entry) = self.read(&key, &document) else { continue };
            let revision = document.revision;
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
                foreign.push((key, revision));
            }
        }
        obsolete.extend(self.foreign.replace(foreign));
        let passed = self.listed.as_ref().map_or(Duration::ZERO, |listed| listed.at.elapsed());
        // While this replica could not list, it has heard nothing: the others were not silent.
        self.roster.observe(passed.min(2 * self.roster.beat()), list.signs());
        self.roster.note_present(&self.me, first_step);
        self.listed = Some(Listing { at: Instant::now(), list, keys, is_judged: false });
        self.remove(obsolete).await
    }

    /// Reads an entry. Its own counts and keys are known to this replica: to read them would take
    /// longer than the rest of a list of one entry.
    fn read(&self, key: &StoreKey, found: &Versioned) -> Option<BoardEntry> {
        let is_own = key == self.entry.key() && self.entry.is_at(&found.revision);
        match &self.published {
            Some(own) if is_own => Some(own.to_head()),
            _ => serde_json::from_str(found.document.as_str()).ok(),
        }
    }

    /// Removes entries that are no longer needed.
    async fn remove(&self, entries: Vec<(StoreKey, Revision)>) -> Result<(), StoreError> {
        for (key, revision) in entries.into_iter().take(MAX_REMOVALS) {
            match self.store.remove(&key, &revision).await {
                Ok(_) => {}
                // The next list finds it again.
                Err(error) if error.retry() == Retry::AfterLoad => break,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

static NOTHING_LISTED: BoardList = BoardList::EMPTY;

/// The maximum number of entries that are removed after one list, so that it does not delay the tick.
const MAX_REMOVALS: usize = 16;

#[cfg(test)]
mod tests;
