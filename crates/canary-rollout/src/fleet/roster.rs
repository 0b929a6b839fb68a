use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::{ClosedWeights, Fleet, size::beat_for};
use crate::replica::ReplicaId;

/// The replicas whose entries are on the board of an attempt, and what of them the judge has observed.
///
/// A replica is *heard* while its beat changes at least every five beats, on the clock of the replica
/// that looks. No clock of another machine matters. The roster is stored with the evidence, so that a
/// new driver does not take replicas that have been silent for long to be heard.
///
/// ```
/// use std::time::Duration;
/// use canary_rollout::{fleet::{BoardSign, Roster}, replica::ReplicaId};
///
/// let ids = [1, 2].map(ReplicaId::from_random);
/// let mut roster = Roster::default();
/// for beat in 1..=10 {
///     // The second replica publishes nothing after its first entry.
///     let signs = [BoardSign::new(ids[0].clone(), beat), BoardSign::new(ids[1].clone(), 1)];
///     roster.observe(Duration::from_secs(2), &signs);
/// }
/// assert_eq!(roster.fleet().to_string(), "1 of 2 replicas heard");
/// assert_eq!(roster.fleet().silent, [ids[1].clone()]);
/// ```
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Roster(pub(super) BTreeMap<ReplicaId, Presence>);

/// What an entry of the board tells about its replica.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[expect(clippy::exhaustive_structs, reason = "the driver constructs it")]
pub struct BoardSign {
    /// The replica.
    pub replica: ReplicaId,
    /// The number of its entry, from 1. It grows with each attempt of a publication, so that two
    /// entries of one number have the same counts.
    pub beat: u64,
    /// Whether the replica has stopped in order: it publishes nothing after this entry.
    #[serde(default, rename = "left", skip_serializing_if = "std::ops::Not::not")]
    pub has_left: bool,
    /// The step of the plan in which the replica began to count, from 1.
    #[serde(default = "first_step", skip_serializing_if = "is_first_step")]
    pub first_step: usize,
    /// The step that the replica had reached. Its later calls belong to this step, or to a later one.
    #[serde(default = "first_step", skip_serializing_if = "is_first_step")]
    pub step: usize,
    /// The weights whose counts the entry leaves out, because it would be too large for the store.
    #[serde(default, skip_serializing_if = "ClosedWeights::is_empty")]
    pub closed: ClosedWeights,
}

impl BoardSign {
    /// Creates the sign of a replica that is in the first step of the plan.
    #[must_use]
    pub fn new(replica: ReplicaId, beat: u64) -> Self {
        let closed = ClosedWeights::default();
        Self { replica, beat, has_left: false, first_step: 1, step: 1, closed }
    }
}

/// What is known about one replica.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Presence {
    /// The beat of the entry that the judge has observed; zero if it has observed none.
    #[serde(rename = "b")]
    pub(super) judged: u64,
    /// The beat of the latest entry, if the judge has not observed it.
    #[serde(default, rename = "n", skip_serializing_if = "Option::is_none")]
    newer: Option<u64>,
    #[serde(default, rename = "l", skip_serializing_if = "std::ops::Not::not")]
    pub(super) has_left: bool,
    /// The time since the beat has changed, at most [`Roster::FORGOTTEN`].
    #[serde(default, rename = "s", skip_serializing_if = "is_zero")]
    pub(super) silent_ms: u64,
    /// The step to which the calls belong at least that the judge has not observed.
    #[serde(default = "first_step", rename = "p", skip_serializing_if = "is_first_step")]
    pub(super) step: usize,
    #[serde(default, rename = "e", skip_serializing_if = "EntryState::is_kept")]
    pub(super) entry: EntryState,
}

/// The state of a replica's entry.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(super) enum EntryState {
    /// The board must have the entry, because the judged sum has its counts.
    #[default]
    #[serde(rename = "k")]
    Kept,
    /// The store has lost the entry, and the judged sum has no counts of it.
    #[serde(rename = "l")]
    Lost,
    /// The counts were observed and taken out of the judged sum. The entry can be removed.
    #[serde(rename = "f")]
    Folded,
}

impl Roster {
    /// The time after which a silent replica no longer counts. It must be long enough for a replica
    /// whose connection to the store is interrupted, and short enough for crashed replicas, which new
    /// ones have replaced, not to stop a plan for long.
    pub const FORGOTTEN: Duration = Duration::from_secs(15 * 60);

    /// The maximum number of entries of [forgotten](Self::FORGOTTEN) replicas on a board. The counts of
    /// others are observed, and their entries are removed.
    pub const MAX_FORGOTTEN: usize = 100;

    /// The maximum number of replicas without an entry that a roster remembers. If one that is no longer
    /// known comes back, its calls are judged again.
    pub const MAX_REMEMBERED: usize = 1_000;

    /// Adds the signs of a list of the board, and the time that has passed since the last list.
    pub fn observe<'a>(
        &mut self,
        passed: Duration,
        signs: impl IntoIterator<Item = &'a BoardSign>,
    ) {
        let passed_ms = millis(passed);
        for presence in self.0.values_mut() {
            let silent_ms = presence.silent_ms.saturating_add(passed_ms);
            presence.silent_ms = silent_ms.min(millis(Self::FORGOTTEN));
        }
        for BoardSign { replica, beat, has_left, first_step, .. } in signs {
            let new = || Presence::new(*first_step);
            let presence = self.0.entry(replica.clone()).or_insert_with(new);
            if *beat > presence.beat() || presence.has_left != *has_left {
                presence.hear(*beat, *has_left);
            }
        }
    }

    /// Begins without evidence: the judge has observed no entry.
    pub fn begin(&mut self) {
        self.0.values_mut().for_each(Presence::begin);
    }

    /// Notes that this replica hears itself, even if it cannot publish. It began to count in this step.
    pub fn note_present(&mut self, replica: &ReplicaId, first_step: usize) {
        let presence = self.0.entry(replica.clone()).or_insert_with(|| Presence::new(first_step));
        presence.silent_ms = 0;
    }

    /// Notes a publication of this replica itself.
    pub fn note_published(&mut self, replica: &ReplicaId, beat: u64, first_step: usize) {
        let presence = self.0.entry(replica.clone()).or_insert_with(|| Presence::new(first_step));
        presence.hear(beat, false);
    }

    /// Notes that the judge has observed what this replica itself has last published. Its later calls
    /// belong to this step, or to a later one.
    pub fn note_judged(&mut self, replica: &ReplicaId, step: usize) {
        if let Some(presence) = self.0.get_mut(replica) {
            presence.note_judged(presence.beat(), step);
        }
    }

    /// Notes that the judged sum has the counts of the replica that looks.
    pub(super) fn keep(&mut self, replica: &ReplicaId) {
        if let Some(presence) = self.0.get_mut(replica) {
            presence.entry = EntryState::Kept;
        }
    }

    /// Returns the beat of the replica's latest entry that the judge has observed.
    #[must_use]
    pub fn judged_beat(&self, replica: &ReplicaId) -> Option<u64> {
        self.0.get(replica).map(|presence| presence.judged).filter(|beat| *beat > 0)
    }

    /// Returns the step to which the calls of a replica belong at least that the judge has not observed.
    #[must_use]
    pub fn step_of(&self, replica: &ReplicaId) -> Option<usize> {
        self.0.get(replica).map(|presence| presence.step)
    }

    /// Returns whether the replica is in the roster.
    #[must_use]
    pub fn knows(&self, replica: &ReplicaId) -> bool {
        self.0.contains_key(replica)
    }

    /// Returns whether the judge has observed entries of other replicas than this one, which the board
    /// still has.
    #[must_use]
    pub fn has_others(&self, me: &ReplicaId) -> bool {
        self.0.iter().any(|(replica, presence)| replica != me && presence.must_be_listed())
    }

    /// Returns whether an entry is no longer needed: the roster has its counts. Remove it only if this
    /// roster is stored.
    #[must_use]
    pub fn has_folded(&self, sign: &BoardSign) -> bool {
        let presence = self.0.get(&sign.replica);
        presence.is_some_and(|it| it.entry == EntryState::Folded && sign.beat <= it.judged)
    }

    /// Returns which replicas are heard.
    #[must_use]
    pub fn fleet(&self) -> Fleet {
        let of = self.count(Self::FORGOTTEN);
        let silent_after = (SILENT_BEATS * beat_for(of)).min(Self::FORGOTTEN);
        let silent = self.0.iter().filter(|(_, presence)| {
            presence.counts(Self::FORGOTTEN) && !presence.counts(silent_after)
        });
        Fleet::new(self.count(silent_after), silent.map(|(replica, _)| replica.clone()))
    }

    /// Returns the [beat](Fleet::beat) of the fleet.
    #[must_use]
    pub fn beat(&self) -> Duration {
        beat_for(self.count(Self::FORGOTTEN))
    }

    fn count(&self, silent_after: Duration) -> usize {
        self.0.values().filter(|presence| presence.counts(silent_after)).count()
    }
}

impl Presence {
    const fn new(step: usize) -> Self {
        let (newer, entry) = (None, EntryState::Kept);
        Self { judged: 0, newer, has_left: false, silent_ms: 0, step, entry }
    }

    fn hear(&mut self, beat: u64, has_left: bool) {
        self.newer = Some(beat).filter(|beat| *beat != self.judged);
        (self.has_left, self.silent_ms) = (has_left, 0);
    }

    fn begin(&mut self) {
        self.newer = Some(self.beat()).filter(|beat| *beat > 0);
        (self.judged, self.entry) = (0, EntryState::Kept);
    }

    pub(super) fn note_judged(&mut self, beat: u64, step: usize) {
        (self.judged, self.step, self.entry) = (beat, step, EntryState::Kept);
        self.newer = self.newer.filter(|newer| *newer > beat);
    }

    /// Returns the beat of the latest entry.
    fn beat(&self) -> u64 {
        self.newer.unwrap_or(self.judged)
    }

    /// Returns whether the board must have an entry of the replica.
    pub(super) fn must_be_listed(&self) -> bool {
        self.judged > 0 && self.entry == EntryState::Kept
    }

    /// Returns whether the judged sum lacks counts that the judge has observed.
    pub(super) fn is_out_of_the_sum(&self) -> bool {
        self.entry != EntryState::Kept
    }

    pub(super) fn is_forgotten(&self) -> bool {
        u128::from(self.silent_ms) >= Roster::FORGOTTEN.as_millis()
    }

    /// Returns whether the replica has neither left nor been silent for this time.
    fn counts(&self, silent_after: Duration) -> bool {
        !self.has_left && u128::from(self.silent_ms) < silent_after.as_millis()
    }
}

impl EntryState {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
    fn is_kept(&self) -> bool {
        *self == Self::Kept
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_zero(millis: &u64) -> bool {
    *millis == 0
}

const fn first_step() -> usize {
    1
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_first_step(step: &usize) -> bool {
    *step == 1
}

/// The number of beats without a new entry after which a replica is silent.
const SILENT_BEATS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::BEAT;

    fn sign(replica: u64, beat: u64) -> BoardSign {
        BoardSign::new(ReplicaId::from_random(replica), beat)
    }

    #[test]
    fn a_replica_is_silent_after_five_beats_and_forgotten_after_a_quarter_of_an_hour() {
        let mut roster = Roster::default();
        for second in 0..=(15 * 60) {
            roster.observe(Duration::from_secs(1), &[sign(1, second + 1), sign(2, 7)]);
            let fleet = roster.fleet();
            let expected = match second {
                0..10 => (2, 2),
                10..900 => (1, 2),
                _ => (1, 1),
            };
            assert_eq!((fleet.heard, fleet.of), expected, "{second}");
        }
        // It is back.
        roster.observe(Duration::from_secs(1), &[sign(2, 8)]);
        assert_eq!(roster.fleet().to_string(), "2 of 2 replicas heard");
    }

    #[test]
    fn no_replica_of_a_very_large_fleet_is_heard_after_it_is_forgotten() {
        let mut roster = Roster::default();
        let signs: Vec<_> = (0..5_000).map(|replica| sign(replica, 1)).collect();
        roster.observe(Duration::ZERO, &signs);
        roster.observe(Roster::FORGOTTEN, &[sign(0, 2)]);
        assert_eq!(roster.fleet(), Fleet::new(1, []));
        // Five beats of 5,000 replicas are longer.
        let mut roster = Roster::default();
        roster.observe(Duration::ZERO, &signs);
        let half: Vec<_> = (0..4_600).map(|replica| sign(replica, 2)).collect();
        roster.observe(Roster::FORGOTTEN, &half);
        assert_eq!(roster.fleet(), Fleet::new(4_600, []));
    }

    #[test]
    fn a_replica_that_has_left_does_not_count() {
        let mut roster = Roster::default();
        roster.observe(Duration::ZERO, &[sign(1, 1), sign(2, 1)]);
        roster.observe(BEAT, &[sign(1, 2), BoardSign { has_left: true, ..sign(2, 2) }]);
        assert_eq!(roster.fleet(), Fleet::new(1, []));
    }

    #[test]
    fn a_stored_roster_still_knows_who_is_silent() {
        let mut roster = Roster::default();
        for beat in 1..=20 {
            roster.observe(BEAT, &[sign(1, beat), sign(2, 1)]);
        }
        let stored = serde_json::to_string(&roster).unwrap();
        let mut again: Roster = serde_json::from_str(&stored).unwrap();
        assert_eq!(again, roster);
        again.observe(BEAT, &[sign(1, 21), sign(2, 1)]);
        assert_eq!(again.fleet().to_string(), "1 of 2 replicas heard");
        again.note_judged(&ReplicaId::from_random(1), 1);
        again.observe(BEAT, &[sign(1, 22)]);
        assert_eq!(again.judged_beat(&ReplicaId::from_random(1)), Some(21));
        assert_eq!(again.judged_beat(&ReplicaId::from_random(2)), None);
        assert_eq!(again.judged_beat(&ReplicaId::from_random(3)), None);
    }

    #[test]
    fn a_large_fleet_publishes_at_most_25_times_per_second() {
        for (replicas, beat_ms) in [(1, 2_000), (50, 2_000), (100, 4_000), (1_000, 40_000)] {
            let mut roster = Roster::default();
            let signs: Vec<_> = (0..replicas).map(|id| sign(id, 1)).collect();
            roster.observe(Duration::ZERO, &signs);
            assert_eq!(roster.beat(), Duration::from_millis(beat_ms), "{replicas} replicas");
        }
    }
}
