use std::sync::Arc;

use canary_analysis::{Baseline, Guard, Judge, Judgment, Unit};
use canary_core::{Snapshot, Weight};
use canary_rollout::Plan;
use tokio::time::Instant;
use tower_canary::{CanaryHandle, control::ControlExt};

use crate::{
    decision::StoredDecision,
    driver::{
        TARGET,
        key_ledgers::{KeyLedgers, WatchedKeys},
        observation::to_observation,
        stored_evidence::{NotResumed, StoredEvidence},
    },
    evidence_sources::EvidenceSources,
    weight_lock::WeightLock,
};

/// The judge of one attempt, with its evidence.
pub(crate) struct AttemptJudge {
    attempt: u64,
    judge: Judge,
    /// The counts of this process that the judge has observed.
    observed: Snapshot,
    /// The time at which these counts were read.
    observed_at: Instant,
    /// The counts of this process that the stored evidence contains, and the time at which they were
    /// read. If another replica becomes the driver, the calls since then are observed again when
    /// this one does.
    stored: (Snapshot, Instant),
    /// `None` without monitors per key.
    keys: Option<WatchedKeys>,
    guard: Option<Arc<LiveGuard>>,
}

type LiveGuard = Guard<Box<dyn Fn() -> Snapshot + Send + Sync>>;

impl AttemptJudge {
    /// Creates a judge without evidence, for calls from now on. The baseline is what the judge of
    /// the attempt before knew about stable.
    pub(crate) fn new(
        attempt: u64,
        plan: &Plan,
        baseline: &Baseline,
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
        Self::from_parts(attempt, judge, None, canary, weight_lock)
    }

    /// Creates a judge with stored evidence of the current attempt.
    ///
    /// # Errors
    ///
    /// Returns an error if the evidence does not belong to the monitors of the plan.
    pub(crate) fn resume(
        stored: &StoredEvidence,
        plan: &Plan,
        canary: &CanaryHandle,
        weight_lock: &Arc<WeightLock>,
    ) -> Result<Self, NotResumed> {
        let monitors = plan.judge_monitors_by(default_unit(canary));
        let judge = Judge::try_resume(plan.levels(), monitors, &stored.judge)?
            .with_second_proof(plan.second_proof());
        if !KeyLedgers::match_monitors(stored.key_ledgers.as_ref(), &judge) {
            return Err(NotResumed::Keys);
        }
        let ledgers = stored.key_ledgers.clone();
        Ok(Self::from_parts(stored.attempt, judge, ledgers, canary, weight_lock))
    }

    fn from_parts(
        attempt: u64,
        judge: Judge,
        key_ledgers: Option<KeyLedgers>,
        canary: &CanaryHandle,
        weight_lock: &Arc<WeightLock>,
    ) -> Self {
        let keys = WatchedKeys::new(&judge, canary, key_ledgers);
        let (observed, observed_at) = (canary.counts(), Instant::now());
        let live: Box<dyn Fn() -> Snapshot + Send + Sync> = {
            let canary = canary.downgrade();
            Box::new(move || canary.upgrade().map(|canary| canary.counts()).unwrap_or_default())
        };
        let guard = judge.guard(observed.clone(), live).map(Arc::new);
        canary.on_canary_failure({
            let (guard, weight_lock) = (guard.clone(), Arc::clone(weight_lock));
            move |canary, weight| {
                if let Some(trip) = guard.as_ref().and_then(|guard| guard.canary_failed(weight)) {
                    weight_lock.trip(canary, attempt, trip.to_string());
                }
            }
        });
        let stored = (observed.clone(), observed_at);
        Self { attempt, judge, observed, observed_at, stored, keys, guard }
    }

    /// Takes over evidence of the same attempt that another replica has stored. It lacks the calls of
    /// this process that this process has not stored itself: the judge observes them if this replica
    /// becomes the driver, and the guard follows them at once.
    ///
    /// # Errors
    ///
    /// Returns an error if the evidence does not belong to the monitors of the plan. Nothing changes
    /// then.
    pub(crate) fn follow(
        &mut self,
        stored: &StoredEvidence,
        plan: &Plan,
        canary: &CanaryHandle,
    ) -> Result<(), NotResumed> {
        let monitors = plan.judge_monitors_by(default_unit(canary));
        let judge = Judge::try_resume(plan.levels(), monitors, &stored.judge)?
            .with_second_proof(plan.second_proof());
        if !KeyLedgers::match_monitors(stored.key_ledgers.as_ref(), &judge) {
            return Err(NotResumed::Keys);
        }
        if let (Some(keys), Some(ledgers)) = (&mut self.keys, &stored.key_ledgers) {
            keys.adopt(ledgers.clone());
        }
        (self.observed, self.observed_at) = self.stored.clone();
        if let Some(guard) = &self.guard {
            guard.follow(&judge, self.observed.clone());
        }
        self.judge = judge;
        Ok(())
    }

    /// Notes that the evidence is stored.
    pub(crate) fn note_stored(&mut self) {
        self.stored = (self.observed.clone(), self.observed_at);
    }

    /// Leaves out the calls until now.
    pub(crate) fn skip(&mut self, canary: &CanaryHandle) {
        (self.observed, self.observed_at) = (canary.counts(), Instant::now());
        self.note_stored();
        if let Some(keys) = &mut self.keys {
            keys.skip();
        }
    }

    pub(crate) const fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Gives the judge the counts since the last observation. Returns the number of canary calls
    /// among them that were assigned at `weight` and have ended.
    pub(crate) fn observe(&mut self, canary: &CanaryHandle, weight: Weight) -> u64 {
        let now = canary.counts();
        let read_at = Instant::now();
        let duration = read_at - std::mem::replace(&mut self.observed_at, read_at);
        let Ok(difference) = now.since(&self.observed) else {
            // The counts have shrunk, so they belong to another canary. Start again from here.
            self.observed = now;
            self.note_stored();
            return 0;
        };
        let at_weight = difference.epochs.iter().filter(|epoch| epoch.weight == weight);
        let calls = at_weight
            .map(|epoch| &epoch.counts.evidence.canary)
            .map(|canary| canary.success.saturating_add(canary.failure))
            .fold(0, u64::saturating_add);
        let mut observation = to_observation(difference, &self.judge).with_duration(duration);
        if let Some(keys) = &mut self.keys {
            observation = keys.observe(&self.judge, observation);
        }
        self.judge.observe(&observation);
        self.observed = now;
        if let Some(guard) = &self.guard {
            guard.follow(&self.judge, self.observed.clone());
        }
        calls
    }

    pub(crate) fn begin_step(&mut self) {
        self.judge.begin_step();
    }

    pub(crate) fn judgment(&self) -> Judgment {
        self.judge.judgment()
    }

    /// Returns who made the evidence.
    pub(crate) fn sources(&self, canary: &CanaryHandle) -> EvidenceSources {
        let keys = self.keys.as_ref().map(WatchedKeys::key_count);
        EvidenceSources::new(keys, &canary.callers())
    }

    /// Returns what the judge knows about stable. It also learns while no rollout runs.
    pub(crate) fn baseline(&self) -> Baseline {
        self.judge.baseline()
    }

    pub(crate) fn to_decision(&self, plan: &Plan, canary: &CanaryHandle) -> StoredDecision {
        StoredDecision::new(plan, default_unit(canary), &self.judge.judgment(), self.judge.state())
    }

    pub(crate) fn to_stored(&self) -> StoredEvidence {
        let key_ledgers = self.keys.as_ref().map(|keys| keys.ledgers().clone());
        StoredEvidence { attempt: self.attempt, judge: self.judge.state(), key_ledgers }
    }
}

/// Returns the unit of monitors whose plan names none: keys if calls may be sticky, because the
/// calls of a sticky caller are not assigned independently.
pub(crate) fn default_unit(canary: &CanaryHandle) -> Unit {
    if canary.may_be_sticky() { Unit::Keys } else { Unit::Calls }
}
