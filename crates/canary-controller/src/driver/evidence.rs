use std::sync::Arc;

use canary_analysis::{Guard, Judge, JudgeState, Judgment, Observation, ResumeError, Tick};
use canary_core::{PerChannel, Rated, Snapshot, Weight};
use canary_rollout::Plan;
use serde::{Deserialize, Serialize};
use tower_canary::CanaryHandle;

use crate::alarm::Alarm;

/// The judge of an attempt, and how far it has read the data plane's counts.
pub(crate) struct Evidence {
    attempt: u64,
    judge: Judge,
    read: Snapshot,
    guard: Option<Arc<LiveGuard>>,
}

type LiveGuard = Guard<Box<dyn Fn() -> Snapshot + Send + Sync>>;

/// Evidence as it is stored.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub(crate) struct StoredEvidence {
    /// The attempt in which it was collected.
    attempt: u64,
    judge: JudgeState,
}

impl Evidence {
    /// None yet, about calls that start from now on.
    pub(crate) fn begin(
        attempt: u64,
        plan: &Plan,
        canary: &CanaryHandle,
        alarm: &Arc<Alarm>,
    ) -> Self {
        Self::new(attempt, plan.judge(), canary, alarm)
    }

    /// What was stored, if it is that of this attempt.
    ///
    /// # Errors
    ///
    /// If it is not the plan's.
    pub(crate) fn resume(
        stored: &StoredEvidence,
        plan: &Plan,
        canary: &CanaryHandle,
        alarm: &Arc<Alarm>,
    ) -> Result<Self, ResumeError> {
        let judge = Judge::try_resume(plan.levels(), plan.judge_monitors(), &stored.judge)?;
        Ok(Self::new(stored.attempt, judge, canary, alarm))
    }

    fn new(attempt: u64, judge: Judge, canary: &CanaryHandle, alarm: &Arc<Alarm>) -> Self {
        let read = canary.counts();
        let live: Box<dyn Fn() -> Snapshot + Send + Sync> = {
            let canary = canary.downgrade();
            Box::new(move || canary.upgrade().map(|canary| canary.counts()).unwrap_or_default())
        };
        let guard = judge.guard(read.clone(), live).map(Arc::new);
        canary.on_canary_failure({
            let (guard, alarm) = (guard.clone(), Arc::clone(alarm));
            move |canary, weight| {
                if let Some(trip) = guard.as_ref().and_then(|guard| guard.canary_failed(weight)) {
                    alarm.ring(canary, attempt, trip.to_string());
                }
            }
        });
        Self { attempt, judge, read, guard }
    }

    /// Reads the counts, and returns how many calls of the canary's ended at `weight`.
    pub(crate) fn observe(&mut self, canary: &CanaryHandle, weight: Weight) -> u64 {
        let now = canary.counts();
        let Ok(difference) = now.since(&self.read) else {
            // Not ours: nothing was observed, and the next look starts from here.
            self.read = now;
            return 0;
        };
        let at_weight = difference.epochs.iter().filter(|epoch| epoch.weight == weight);
        let calls = at_weight
            .map(|epoch| &epoch.counts.evidence.canary)
            .map(|canary| canary.success.saturating_add(canary.failure))
            .fold(0, u64::saturating_add);
        self.judge.observe(&observation(difference));
        self.read = now;
        if let Some(guard) = &self.guard {
            guard.follow(&self.judge, self.read.clone());
        }
        calls
    }

    pub(crate) fn begin_step(&mut self) {
        self.judge.begin_step();
    }

    pub(crate) fn judgment(&self) -> Judgment {
        self.judge.judgment()
    }

    pub(crate) fn to_stored(&self) -> StoredEvidence {
        StoredEvidence { attempt: self.attempt, judge: self.judge.state() }
    }
}

/// What was counted since the last look, and what users and the application said of it.
fn observation(mut difference: Snapshot) -> Observation {
    let ratings = std::mem::take(&mut difference.ratings);
    let mut observation = Observation::of(difference).with_feedback(ticks(&ratings.feedback));
    for (event, rated) in ratings.events() {
        observation = observation.with_event(event.as_str(), ticks(rated));
    }
    observation
}

fn ticks(rated: &Rated) -> impl Iterator<Item = Tick> {
    rated.evidence().iter().filter_map(|(weight, occasions)| {
        let of = |count: fn(&canary_core::Occasions) -> u64| PerChannel {
            stable: count(&occasions.stable),
            canary: count(&occasions.canary),
        };
        Tick::try_new(*weight, of(|it| it.total), of(|it| it.adverse)).ok()
    })
}

impl StoredEvidence {
    pub(crate) const fn attempt(&self) -> u64 {
        self.attempt
    }
}
