use std::collections::BTreeSet;

use super::{
    BoardSign, FleetCounts, JudgedCounts, MissingCounts, Roster,
    roster::{EntryState, Presence},
};
use crate::replica::ReplicaId;

/// A list of the entries of a board: those of one attempt.
///
/// ```
/// use canary_rollout::{
///     fleet::{BoardList, BoardSign, FleetCounts, JudgedCounts, OwnPart, Roster},
///     replica::ReplicaId,
/// };
///
/// let [me, other] = [1, 2].map(ReplicaId::from_random);
/// let (own, counts) = (FleetCounts::default(), FleetCounts::default());
/// let mut board = BoardList::default();
/// board.push(BoardSign::new(other.clone(), 1), counts);
/// let (mut judged, mut roster) = (JudgedCounts::default(), Roster::default());
/// roster.observe(Default::default(), board.signs());
/// let own = OwnPart { replica: &me, counts: &own, step: 1 };
/// let look = board.look(own, &mut judged, &mut roster)?;
/// assert_eq!((look.counts, look.step), (FleetCounts::default(), 1));
/// assert_eq!(roster.judged_beat(&other), Some(1));
///
/// // The store has lost the entry.
/// let missing = BoardList::default().look(own, &mut judged, &mut roster).unwrap_err();
/// assert_eq!(missing.to_string(), "the entry of replica 0000000000000002 is missing");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct BoardList(Vec<(BoardSign, FleetCounts)>);

/// What the replica that looks has counted itself. It is more than its entry has.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the driver constructs it")]
pub struct OwnPart<'a> {
    /// The replica.
    pub replica: &'a ReplicaId,
    /// Its counts since the attempt began.
    pub counts: &'a FleetCounts,
    /// The step of the plan to which the calls belong at least that the judge has not observed.
    pub step: usize,
}

/// What the judge observes at once.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Look {
    /// The counts of all replicas since the last look.
    pub counts: FleetCounts,
    /// The step of the plan to which all of these calls belong at least. Replicas reach a step at
    /// different times, and a publication can have calls of two steps.
    pub step: usize,
}

/// The part of a list that the sum consists of.
struct Parts<'a> {
    /// Entries whose counts are in the sum.
    kept: Vec<&'a (BoardSign, FleetCounts)>,
    /// Those among them whose counts were not in the judged sum, although the judge has observed a
    /// part of them.
    returned: Vec<&'a (BoardSign, FleetCounts)>,
    missing: BTreeSet<ReplicaId>,
}

impl BoardList {
    /// A list without entries.
    pub const EMPTY: Self = Self(Vec::new());

    /// Adds an entry.
    pub fn push(&mut self, sign: BoardSign, counts: FleetCounts) {
        self.0.push((sign, counts));
    }

    /// Returns whether the list has no entry of another replica.
    #[must_use]
    pub fn is_alone(&self, me: &ReplicaId) -> bool {
        self.0.iter().all(|(sign, _)| sign.replica == *me)
    }

    /// Returns what the entries tell about their replicas.
    pub fn signs(&self) -> impl Iterator<Item = &BoardSign> {
        self.0.iter().map(|(sign, _)| sign)
    }

    /// Makes the next look of the judge: the counts of all replicas minus those that the judge has
    /// observed. `judged` and `roster` change together, and are stored together. The roster must have
    /// [observed](Roster::observe) the signs of the list.
    ///
    /// An entry that [was lost](Self::give_up) comes back without a look at its counts until then, so
    /// that no call is judged twice. The same holds for the counts of the replica that looks. Weights
    /// that an entry leaves out are closed for all replicas.
    ///
    /// # Errors
    ///
    /// Returns an error if an entry or counts are missing that the judge has observed. Nothing changes
    /// then.
    pub fn look(
        &self,
        own: OwnPart<'_>,
        judged: &mut JudgedCounts,
        roster: &mut Roster,
    ) -> Result<Look, MissingCounts> {
        let parts = self.parts(own.replica, roster);
        if !parts.missing.is_empty() {
            return Err(MissingCounts::entries(parts.missing));
        }
        let mut base = judged.clone();
        self.close(&mut base);
        for (_, counts) in &parts.returned {
            base.accept(counts);
        }
        if roster.0.get(own.replica).is_some_and(Presence::is_out_of_the_sum) {
            base.accept(own.counts);
        }
        let counts = base.advance(parts.sum(own))?;
        *judged = base;
        roster.keep(own.replica);
        let step = parts.step(roster).unwrap_or(own.step).min(own.step);
        parts.note_judged(roster);
        self.fold(own.replica, judged, roster);
        Ok(Look { counts, step })
    }

    /// Gives up what is missing: the judge continues from the present sum. The calls since the last
    /// look are not judged.
    pub fn give_up(&self, own: OwnPart<'_>, judged: &mut JudgedCounts, roster: &mut Roster) {
        let parts = self.parts(own.replica, roster);
        self.close(judged);
        judged.reset(parts.sum(own));
        parts.note_judged(roster);
        roster.keep(own.replica);
        for replica in &parts.missing {
            if let Some(presence) = roster.0.get_mut(replica) {
                presence.entry = EntryState::Lost;
            }
        }
    }

    /// Closes the weights that an entry leaves out, because a sum without its counts cannot be compared.
    fn close(&self, judged: &mut JudgedCounts) {
        self.signs().for_each(|sign| judged.close(&sign.closed));
    }

    fn parts(&self, me: &ReplicaId, roster: &Roster) -> Parts<'_> {
        let of_others =
            |presence: &(&ReplicaId, &Presence)| presence.0 != me && presence.1.must_be_listed();
        let missing = roster.0.iter().filter(of_others).map(|(replica, _)| replica.clone());
        let mut parts =
            Parts { kept: Vec::new(), returned: Vec::new(), missing: missing.collect() };
        for entry in self.0.iter().filter(|(sign, _)| sign.replica != *me) {
            let sign = &entry.0;
            let known = roster.0.get(&sign.replica);
            let judged = known.map_or(0, |presence| presence.judged);
            match known.map_or(EntryState::Kept, |presence| presence.entry) {
                // The store has gone back to an earlier entry.
                EntryState::Kept if sign.beat < judged => {}
                EntryState::Kept => {
                    parts.missing.remove(&sign.replica);
                    parts.kept.push(entry);
                }
                EntryState::Lost if sign.beat >= judged => parts.returned.push(entry),
                EntryState::Folded if sign.beat > judged => parts.returned.push(entry),
                EntryState::Lost | EntryState::Folded => {}
            }
        }
        parts
    }

    /// Takes the counts of replicas that publish no more out of the judged sum, so that it and the
    /// board do not grow with each replica that has ever started.
    fn fold(&self, me: &ReplicaId, judged: &mut JudgedCounts, roster: &mut Roster) {
        let is_silent = |it: &Presence| it.is_forgotten() && !it.has_left && it.must_be_listed();
        let forgotten = roster.0.values().filter(|it| is_silent(it)).count();
        let mut surplus = forgotten.saturating_sub(Roster::MAX_FORGOTTEN);
        for (sign, counts) in self.0.iter().filter(|(sign, _)| sign.replica != *me) {
            let Some(presence) = roster.0.get_mut(&sign.replica) else { continue };
            let is_judged = presence.must_be_listed() && presence.judged == sign.beat;
            let is_gone = presence.has_left && presence.silent_ms >= LEFT_MS;
            let is_surplus = surplus > 0 && is_silent(presence);
            if is_judged && (is_gone || is_surplus) && judged.take_out(counts).is_ok() {
                presence.entry = EntryState::Folded;
                surplus = surplus.saturating_sub(usize::from(is_surplus));
            }
        }
        self.forget(roster);
    }

    /// Forgets replicas without an entry: those that have left, those of which the judge has observed
    /// nothing, and others beyond a limit. An empty list tells nothing: even the driver has an entry.
    fn forget(&self, roster: &mut Roster) {
        let listed: BTreeSet<_> = self.signs().map(|sign| &sign.replica).collect();
        if listed.is_empty() {
            return;
        }
        roster.0.retain(|replica, presence| {
            let is_folded = presence.has_left && presence.entry == EntryState::Folded;
            let is_needless = is_folded || presence.judged == 0;
            !is_needless || !presence.is_forgotten() || listed.contains(replica)
        });
        let is_entry = |entry: EntryState| entry == EntryState::Kept;
        let remembered = roster.0.values().filter(|it| !is_entry(it.entry)).count();
        let mut surplus = remembered.saturating_sub(Roster::MAX_REMEMBERED);
        roster.0.retain(|replica, presence| {
            let is_dropped = surplus > 0
                && !is_entry(presence.entry)
                && presence.is_forgotten()
                && !listed.contains(replica);
            surplus -= usize::from(is_dropped);
            !is_dropped
        });
    }
}

impl Parts<'_> {
    fn sum(&self, own: OwnPart<'_>) -> FleetCounts {
        let mut sum = own.counts.clone();
        for (_, counts) in self.kept.iter().chain(&self.returned) {
            sum.merge(counts);
        }
        sum
    }

    /// Returns the earliest step of the calls that the judge has not observed.
    fn step(&self, roster: &Roster) -> Option<usize> {
        let steps = self.kept.iter().filter_map(|(sign, _)| match roster.0.get(&sign.replica) {
            Some(presence) if presence.judged == sign.beat => None,
            Some(presence) if presence.judged > 0 => Some(presence.step),
            Some(_) | None => Some(sign.first_step),
        });
        steps.min()
    }

    fn note_judged(&self, roster: &mut Roster) {
        for (sign, _) in self.kept.iter().chain(&self.returned) {
            if let Some(presence) = roster.0.get_mut(&sign.replica) {
                presence.note_judged(sign.beat, sign.step);
            }
        }
    }
}

/// The time after which the entry of a replica that has left is taken off the board. A request of its
/// last seconds, whose response was lost, must not create the entry again.
const LEFT_MS: u64 = 60_000;
