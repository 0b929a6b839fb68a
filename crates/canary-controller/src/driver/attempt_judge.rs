use std::{collections::BTreeSet, sync::Arc};

use canary_analysis::{
    AdverseCounts, Baseline, Guard, Judge, JudgeState, Judgment, Monitor, Observation, Unit,
    error::ResumeError,
};
use canary_core::{PerChannel, RatingCounts, RatingsByWeight, Snapshot, Weight};
use canary_rollout::Plan;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use tower_canary::{CanaryHandle, control::ControlExt};

use crate::{
    driver::{
        TARGET,
        key_ledgers::{KeyLedgers, WatchedKeys},
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

/// The stored form of the evidence.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct StoredEvidence {
    attempt: u64,
    judge: JudgeState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_ledgers: Option<KeyLedgers>,
}

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

/// Converts the difference of two snapshots to an observation: calls, route classes, feedback and
/// events.
fn to_observation(mut difference: Snapshot, judge: &Judge) -> Observation {
    let ratings = std::mem::take(&mut difference.ratings);
    let classes: BTreeSet<&str> = judge.monitors().filter_map(Monitor::class).collect();
    let of_class: Vec<_> =
        classes.into_iter().map(|class| (class, difference.of_class(class))).collect();
    let mut observation =
        Observation::of(difference).with_feedback(adverse_counts(&ratings.feedback));
    for (event, ratings) in ratings.events() {
        observation = observation.with_event(event.as_str(), adverse_counts(ratings));
    }
    for (class, calls) in of_class {
        observation = observation.with_class(class, calls);
    }
    observation
}

fn adverse_counts(ratings: &RatingsByWeight) -> impl Iterator<Item = AdverseCounts> {
    ratings.evidence().iter().filter_map(|(weight, counts)| {
        let of = |count: fn(&RatingCounts) -> u64| PerChannel {
            stable: count(&counts.stable),
            canary: count(&counts.canary),
        };
        AdverseCounts::try_new(*weight, of(|it| it.total), of(|it| it.adverse)).ok()
    })
}

impl StoredEvidence {
    pub(crate) const fn attempt(&self) -> u64 {
        self.attempt
    }

    /// Returns what the judge knew about stable, which holds for the next attempt too.
    pub(crate) fn baseline(&self) -> Baseline {
        self.judge.baseline()
    }

    /// Returns the evidence with half of the keys, or `None` if no keys are left.
    pub(crate) fn with_fewer_keys(&self) -> Option<Self> {
        let key_ledgers = Some(self.key_ledgers.as_ref()?.halved()?);
        Some(Self { key_ledgers, ..self.clone() })
    }
}

/// The reason why stored evidence cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotResumed {
    #[error(transparent)]
    Judge(#[from] ResumeError),
    /// Keys that have been counted would be counted again.
    #[error("the stored keys belong to other monitors")]
    Keys,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use canary_analysis::{Levels, SlowLimit, Until};
    use canary_core::{ChannelCounts, Counts, EpochCounts, LatencyBucket, Verdict};

    use super::*;

    /// Judges 90 successful checkouts of stable, the given checkouts of the canary, and a hundred
    /// times as many successful calls of no class.
    fn judged(monitor: Monitor, canary_checkouts: impl Fn(&mut ChannelCounts)) -> Verdict {
        let calls = |picked: u64| {
            let mut calls = ChannelCounts::default();
            calls.picked = picked;
            calls.success = picked;
            for latencies in [&mut calls.head, &mut calls.end] {
                latencies.add(LatencyBucket::of(Duration::from_millis(1)), picked);
            }
            calls
        };
        let mut canary = ChannelCounts::default();
        canary_checkouts(&mut canary);
        let classed = PerChannel { stable: calls(90), canary };
        let mut counts = Counts::default();
        counts.evidence = PerChannel { stable: calls(9_000), canary: calls(990) };
        counts.evidence.stable.merge(&classed.stable);
        counts.evidence.canary.merge(&classed.canary);
        counts.classes.insert("checkout".parse().unwrap(), classed);
        let epoch = EpochCounts::new(0, Weight::from_percent(10), counts);
        let mut judge = Judge::try_new(Levels::default(), [monitor]).unwrap();
        judge.observe(&to_observation(Snapshot::new(Counts::default(), vec![epoch]), &judge));
        assert!(judge.judgment().unused.is_empty());
        judge.verdict()
    }

    #[test]
    fn a_monitor_of_a_class_judges_the_calls_of_that_class() {
        let fail = |calls: &mut ChannelCounts| (calls.picked, calls.failure) = (10, 10);
        let cancel = |calls: &mut ChannelCounts| (calls.picked, calls.cancelled) = (10, 10);
        let slow = |calls: &mut ChannelCounts| {
            (calls.picked, calls.success) = (10, 10);
            calls.head.add(LatencyBucket::of(Duration::from_secs(2)), 10);
        };
        let limit = SlowLimit::fixed(Duration::from_millis(300)).unwrap();
        let monitors =
            [Monitor::failures(), Monitor::cancelled(), Monitor::slow(Until::Head, limit)];
        for (index, monitor) in monitors.into_iter().enumerate() {
            let of_checkout = || monitor.clone().of_class("checkout").with_warm_up(Duration::ZERO);
            let verdicts = [
                judged(of_checkout(), fail),
                judged(of_checkout(), cancel),
                judged(of_checkout(), slow),
            ];
            for (which, verdict) in verdicts.into_iter().enumerate() {
                assert_eq!(verdict == Verdict::Degraded, which == index, "{index} {which}");
            }
        }
    }
}
