use std::{sync::Arc, time::Duration};

use canary_analysis::{Baseline, Judge, Judgment, Unit};
use canary_core::{Snapshot, Weight};
use canary_rollout::{
    Plan,
    fleet::{BoardList, BoardSign, FleetCounts, JudgedCounts, OwnPart, Roster, UsedCounts},
    replica::ReplicaId,
};
use tokio::time::Instant;
use tower_canary::{CanaryHandle, control::ControlExt};

use crate::{
    compact::LatestCompact,
    decision::StoredDecision,
    driver::{
        TARGET,
        attempt_guard::AttemptGuard,
        board::Presence,
        cached_judge::CachedJudge,
        key_ledgers::KeyLedgers,
        own_counts::OwnCounts,
        stored_evidence::{NotResumed, StoredEvidence},
        watched_keys::{BoardKeys, WatchedKeys},
    },
    evidence_sources::EvidenceSources,
    weight_lock::WeightLock,
};

mod observe;

/// The judge of one attempt, with its evidence.
pub(crate) struct AttemptJudge {
    attempt: u64,
    judge: CachedJudge,
    /// The counts that the monitors use.
    used: UsedCounts,
    own: OwnCounts,
    /// The sum of the counts of all replicas that the judge has observed.
    judged: JudgedCounts,
    stored_judged: LatestCompact<JudgedCounts>,
    /// The time of the latest look that the judge has observed.
    looked_at: Instant,
    /// The end of the time after it that had no calls.
    quiet_at: Option<Instant>,
    /// The time since which the board lacks counts that the judge has observed.
    incomplete_since: Option<Instant>,
    /// Whether stored evidence was discarded, and the judge has observed nothing since.
    has_discarded: bool,
    /// `None` without monitors per key.
    keys: Option<WatchedKeys>,
    /// `None` without a monitor that has a guard.
    guard: Option<AttemptGuard>,
}

impl AttemptJudge {
    /// Creates a judge without evidence. It counts calls of this process from now on, or continues
    /// with its `own` counts of the same attempt. The baseline is what the judge of the attempt
    /// before knew about stable.
    pub(crate) fn new(
        attempt: u64,
        plan: &Plan,
        baseline: &Baseline,
        own: Option<OwnCounts>,
        canary: &CanaryHandle,
        weight_lock: &Arc<WeightLock>,
    ) -> Self {
        let new = || plan.judge_by(default_unit(canary));
        let judge = new().try_with_baseline(baseline).unwrap_or_else(|error| {
            tracing::warn!(
                target: TARGET, canary = %canary.name(),
                "the judge starts without what is known about stable: {error}",
            );
            new()
        });
        let own = own.map_or_else(|| OwnCounts::new(canary, 1), OwnCounts::without_evidence);
        Self::from_parts(attempt, judge, own, None, canary, weight_lock)
    }

    /// Creates a judge with stored evidence of the current attempt, which is in this step of the plan.
    ///
    /// # Errors
    ///
    /// Returns an error if the evidence does not belong to the monitors of the plan.
    pub(crate) fn resume(
        stored: &StoredEvidence,
        step: usize,
        plan: &Plan,
        canary: &CanaryHandle,
        weight_lock: &Arc<WeightLock>,
    ) -> Result<Self, NotResumed> {
        let judge = stored.resume(plan, default_unit(canary))?;
        let (own, ledgers) = (OwnCounts::new(canary, step), stored.key_ledgers.clone());
        let judged = stored.judged.clone().into_inner();
        let new = Self::from_parts(stored.attempt, judge, own, ledgers, canary, weight_lock);
        Ok(Self { judged, ..new })
    }

    fn from_parts(
        attempt: u64,
        judge: Judge,
        own: OwnCounts,
        key_ledgers: Option<KeyLedgers>,
        canary: &CanaryHandle,
        weight_lock: &Arc<WeightLock>,
    ) -> Self {
        let keys = WatchedKeys::new(&judge, canary, key_ledgers);
        let read = own.summed().clone();
        let guard = AttemptGuard::install(&judge, attempt, read, canary, weight_lock);
        Self {
            attempt,
            used: UsedCounts::of(&judge),
            judge: judge.into(),
            own,
            judged: JudgedCounts::default(),
            stored_judged: LatestCompact::default(),
            looked_at: Instant::now(),
            quiet_at: None,
            incomplete_since: None,
            has_discarded: false,
            keys,
            guard,
        }
    }

    /// Takes over evidence of the same attempt that another replica has stored. Its roster tells which
    /// publication of this process it has: the guard adds the later counts at once, and the driver with
    /// its next look.
    ///
    /// # Errors
    ///
    /// Returns an error if the evidence does not belong to the monitors of the plan. Nothing changes
    /// then.
    pub(crate) fn follow(
        &mut self,
        stored: &StoredEvidence,
        me: &ReplicaId,
        plan: &Plan,
        canary: &CanaryHandle,
    ) -> Result<(), NotResumed> {
        let judge = stored.resume(plan, default_unit(canary))?;
        if let (Some(keys), Some(ledgers)) = (&mut self.keys, &stored.key_ledgers) {
            keys.follow(ledgers.clone(), &self.judge, canary);
        }
        self.judged = stored.judged.clone().into_inner();
        self.has_discarded = false;
        (self.looked_at, self.quiet_at, self.incomplete_since) = (Instant::now(), None, None);
        let step = self.judge.step();
        self.note_begun_guard(judge.step(), canary);
        self.judge = judge.into();
        self.begin_monitors(step);
        self.own.follow(stored.roster.step_of(me));
        let known = self.own.published(stored.roster.judged_beat(me));
        self.follow_by_guard(&known);
        Ok(())
    }

    /// Notes that stored evidence was discarded.
    pub(crate) const fn note_discarded(&mut self) {
        self.has_discarded = true;
    }

    /// Returns whether stored evidence was discarded, and the judge has observed nothing since.
    pub(crate) const fn has_discarded(&self) -> bool {
        self.has_discarded
    }

    /// Returns whether monitors judge from a step on that this process has not reached, and that is at
    /// most this one.
    pub(crate) fn is_before_monitors(&self, step: usize) -> bool {
        let steps = self.own.step() + 1..=step;
        self.judge.monitors().any(|monitor| steps.contains(&monitor.starting_step()))
    }

    /// Begins the monitors that judge from this step on, or from an earlier one. Before that, the calls
    /// until now must have been given to the judge, [read](Self::read) or [held](Self::hold).
    pub(crate) fn reach_step(&mut self, step: usize, canary: &CanaryHandle) {
        if self.own.step() < step {
            self.own.reach_step(step);
        }
        let begins_guard = self.note_begun_guard(step, canary);
        self.begin_monitors(step);
        if let Some(guard) = self.guard.as_ref().filter(|_| begins_guard) {
            guard.follow(&self.judge, self.own.summed());
        }
    }

    /// Returns whether the guard's monitor begins.
    fn note_begun_guard(&mut self, step: usize, canary: &CanaryHandle) -> bool {
        let judge = &self.judge;
        self.guard.as_mut().is_some_and(|guard| guard.note_step(judge, step, canary))
    }

    fn begin_monitors(&mut self, step: usize) {
        if let Some(keys) = &mut self.keys {
            keys.begin(&self.judge, &(self.judge.step() + 1..=step));
        }
        if self.judge.step() < step {
            self.judge.change().reach_step(step);
        }
    }

    /// Passes the evidence on to the guard, with the counts that it has. The judge observes no calls at a
    /// closed weight. While one is in force, the guard keeps the evidence of the time before, and
    /// counts all calls of this process since.
    fn follow_by_guard(&self, until: &Snapshot) {
        let followed = self.guard.as_ref().filter(|_| self.closed_weight().is_none());
        if let Some(guard) = followed {
            guard.follow(&self.judge, until);
        }
    }

    /// Returns the weight in force if it is closed.
    fn closed_weight(&self) -> Option<Weight> {
        let weight = self.own.last_read().current()?.weight;
        (weight > Weight::ZERO && self.judged.closed().contains(weight)).then_some(weight)
    }

    /// Returns the counts of this process since the attempt began.
    pub(crate) const fn own(&self) -> &OwnCounts {
        &self.own
    }

    /// Returns the part of these counts that the replica publishes.
    pub(crate) fn published(&self) -> FleetCounts {
        self.judged.open(self.own.sum().clone())
    }

    /// Returns the new keys of this process for the board: all of them if it leaves. None while the driver
    /// has other monitors: it would never confirm them, so that each publication would have them again.
    pub(crate) fn published_keys(&mut self, presence: Presence) -> Option<BoardKeys> {
        self.keys.as_mut().filter(|_| !self.has_discarded)?.publish(presence)
    }

    /// Leaves out the counts and keys for which the stored evidence has no room, and forgets what only
    /// an earlier evidence needs.
    pub(crate) fn close_as(&mut self, stored: &StoredEvidence, me: &ReplicaId) {
        self.own.forget_before(stored.roster.judged_beat(me).unwrap_or(0));
        self.judged.close(stored.judged.closed());
        if let (Some(keys), Some(stored)) = (&mut self.keys, &stored.key_ledgers) {
            keys.note_stored(stored);
        }
    }

    /// Notes an attempt to publish these counts with this beat, and returns what it tells about this
    /// replica.
    pub(crate) fn note_publication(&mut self, replica: ReplicaId, beat: u64) -> BoardSign {
        self.own.note_publication(beat);
        let (first_step, step) = (self.own.first_step(), self.own.lacking_step());
        let closed = self.judged.closed().clone();
        BoardSign { first_step, step, closed, ..BoardSign::new(replica, beat) }
    }

    /// Divides `alpha` among the guards of this many replicas.
    pub(crate) fn share_alpha(&self, replicas: usize) {
        if let Some(guard) = &self.guard {
            guard.share_alpha(replicas);
        }
    }

    /// Leaves out the calls of this process until now.
    pub(crate) fn skip(&mut self, canary: &CanaryHandle) {
        // Counts that have shrunk are left out as well.
        let _ = self.own.leave_out(canary);
        (self.looked_at, self.quiet_at) = (Instant::now(), None);
        self.skip_keys();
    }

    /// Adds the keys since the last call to those that this process publishes. It is called with each
    /// tick: the watch would become full, and sample ever fewer keys.
    pub(crate) fn collect_keys(&mut self) {
        if let Some(keys) = &mut self.keys {
            keys.collect(&self.judge);
        }
    }

    /// Leaves out the keys since the last call.
    pub(crate) fn skip_keys(&mut self) {
        if let Some(keys) = &mut self.keys {
            keys.skip();
        }
    }

    pub(crate) const fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Adds the calls of this process since the last time to its counts.
    pub(crate) fn read(&mut self, canary: &CanaryHandle) {
        self.hold(canary);
        self.own.add_held();
    }

    /// Reads the calls of this process, and holds them back from its counts until a look succeeds.
    pub(crate) fn hold(&mut self, canary: &CanaryHandle) {
        // Counts that have shrunk belong to another canary. Those of the board remain.
        let _ = self.own.hold(canary, &self.used);
    }

    /// Gives the judge the calls of all replicas since the last look: those of the list, with the
    /// `keys` of the other replicas, and those of this process, `me`. Returns the number of canary calls
    /// among them that were assigned at `weight` and have ended, or `None` if the store has lost a part
    /// of the board.
    pub(crate) fn look(
        &mut self,
        list: &BoardList,
        keys: &[(ReplicaId, BoardKeys)],
        roster: &mut Roster,
        me: &ReplicaId,
        canary: &CanaryHandle,
        weight: Weight,
    ) -> Option<u64> {
        self.hold(canary);
        let (counts, step) = (self.own.sum_with_held(), self.own.open_step());
        let own = OwnPart { replica: me, counts: &counts, step };
        match list.look(own, &mut self.judged, roster) {
            Ok(look) => {
                self.own.add_held();
                self.own.note_judged();
                self.incomplete_since = None;
                let step = look.step.min(self.judge.step());
                self.observe(&look.counts, step, me, keys);
                if let Some(keys) = &mut self.keys {
                    keys.forget(roster, me);
                }
                Some(look.counts.canary_calls(weight))
            }
            // An entry comes back with the next publication of its replica, unless that is gone. Until
            // then, no sum of the board can be compared.
            Err(missing) => {
                let since = *self.incomplete_since.get_or_insert_with(Instant::now);
                // In a large fleet, an entry needs two beats to come back.
                if since.elapsed() < MAX_INCOMPLETE.max(3 * roster.beat()) {
                    // The calls are held back. No beat must have both calls that the judge has observed
                    // and others: the guard would count some of them twice after a replacement of this
                    // driver.
                    return None;
                }
                tracing::warn!(
                    target: TARGET, canary = %canary.name(),
                    "the judge continues from the present board, because the store has lost a part \
                     of it: {missing}",
                );
                list.give_up(own, &mut self.judged, roster);
                self.own.add_held();
                self.own.note_judged();
                self.incomplete_since = None;
                (self.looked_at, self.quiet_at) = (Instant::now(), None);
                Some(0)
            }
        }
    }

    pub(crate) fn begin_step(&mut self) {
        self.judge.change().begin_step();
    }

    pub(crate) fn judgment(&self) -> &Arc<Judgment> {
        self.judge.judgment()
    }

    /// Returns who made the evidence.
    pub(crate) fn sources(&self, canary: &CanaryHandle) -> EvidenceSources {
        let keys = self.keys.as_ref().map(|keys| keys.ledgers().key_count());
        let sources = EvidenceSources::new(keys, &canary.callers());
        EvidenceSources { closed: self.closed_weight(), ..sources }
    }

    /// Returns what the judge knows about stable. It also learns while no rollout runs.
    pub(crate) fn baseline(&self) -> Baseline {
        self.judge.baseline()
    }

    pub(crate) fn to_decision(&self, plan: &Plan, canary: &CanaryHandle) -> StoredDecision {
        let (judgment, state) = (self.judge.judgment(), self.judge.state());
        StoredDecision::new(plan, default_unit(canary), judgment, state)
    }

    /// Returns the evidence, with the replicas whose counts it has.
    pub(crate) fn evidence(&mut self, roster: Roster) -> StoredEvidence {
        let key_ledgers = self.keys.as_ref().map(|keys| keys.ledgers().clone());
        let (attempt, judge) = (self.attempt, self.judge.stored().clone());
        let judged = self.stored_judged.of(&self.judged);
        StoredEvidence { attempt, judge, key_ledgers, judged, roster }
    }
}

/// Returns the unit of monitors whose plan names none: keys if calls may be sticky, because the
/// calls of a sticky caller are not assigned independently.
pub(crate) fn default_unit(canary: &CanaryHandle) -> Unit {
    if canary.may_be_sticky() { Unit::Keys } else { Unit::Calls }
}

/// The shortest time after which the judge gives up counts that the store has lost.
const MAX_INCOMPLETE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
