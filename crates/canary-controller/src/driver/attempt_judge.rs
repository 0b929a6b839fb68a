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
    compact,
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
    #[serde(with = "compact")]
    judge: JudgeState,
    #[serde(with = "compact")]
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
    use crate::store::Document;

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

    /// A sequence of numbers that does not compress.
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, end: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % end
        }

        /// Counts of calls at one weight, of a service with high traffic.
        fn counts(&mut self, weight: Weight, scale: u64) -> ChannelCounts {
            let picked = scale / 1_000_000 * u64::from(weight.ppm()) + self.below(1_000) + 100;
            let mut calls = ChannelCounts::default();
            calls.picked = picked;
            calls.failure = self.below(picked / 20);
            calls.cancelled = self.below(picked / 20);
            calls.success = picked - calls.failure - calls.cancelled;
            for latencies in [&mut calls.head, &mut calls.end] {
                for _ in 0..40 {
                    let latency = Duration::from_micros(self.below(5_000_000));
                    latencies.add(LatencyBucket::of(latency), self.below(picked / 40 + 1));
                }
            }
            calls
        }
    }

    /// The largest plan: the most steps, a bake, and the most monitors of all kinds.
    fn largest_plan() -> Plan {
        let steps: Vec<_> =
            (1..=32).map(|step| format!("{{ weight = '{}.731%' }}", step * 3)).collect();
        let classes: Vec<_> = (0..7)
            .map(|class| format!("{{ measure = 'failures', class = 'class-{class}' }}"))
            .collect();
        let text = format!(
            "steps = [{}]
            bake = {{ duration = '1h' }}
            monitors = [
                {{ measure = 'failures' }}, {{ measure = 'cancelled' }}, {{ measure = 'unanswered' }}, {{ measure = 'share' }},
                {{ measure = {{ slower_than = {{ limit = '250ms' }} }} }},
                {{ measure = {{ slower_than_stable = {{ quantile = 0.95 }} }} }},
                {{ measure = {{ slower_than_stable = {{ quantile = 0.5, until = 'end' }} }} }},
                {{ measure = 'feedback' }}, {{ measure = {{ event = 'lost-order' }} }}, {}
            ]",
            steps.join(","),
            classes.join(","),
        );
        Plan::from_toml(&text).unwrap()
    }

    #[test]
    fn the_evidence_of_the_largest_plan_fills_at_most_half_of_a_document() {
        let plan = largest_plan();
        let mut judge = plan.judge_by(Unit::Calls);
        let mut numbers = Numbers(0x5eed);
        let bake = Weight::from_percent(99);
        let weights = plan.steps().iter().map(|step| step.weight).chain([bake]);
        for (step, weight) in weights.enumerate() {
            judge.begin_step();
            for look in 0..60 {
                // Outages, and quiet seconds between them.
                let scale = [1_000_000, 40_000_000, 3_000_000]
                    [usize::from(look % 7 == 0) + usize::from(look % 3 == 0)];
                let rest = Weight::from_ppm(Weight::FULL.ppm() - weight.ppm());
                let mut counts = Counts::default();
                counts.evidence = PerChannel {
                    stable: numbers.counts(rest, scale),
                    canary: numbers.counts(weight, scale),
                };
                for class in 0..7 {
                    let classed = PerChannel {
                        stable: numbers.counts(rest, scale / 10),
                        canary: numbers.counts(weight, scale / 10),
                    };
                    counts.classes.insert(format!("class-{class}").parse().unwrap(), classed);
                }
                let epoch = EpochCounts::new(step as u64, weight, counts);
                let snapshot = Snapshot::new(Counts::default(), vec![epoch]);
                let mut ratings = || {
                    let trials = PerChannel { stable: 1_000, canary: 1_000 };
                    let adverse =
                        PerChannel { stable: numbers.below(99), canary: numbers.below(99) };
                    AdverseCounts::try_new(weight, trials, adverse).ok()
                };
                let observation = to_observation(snapshot, &judge)
                    .with_feedback(ratings())
                    .with_event("lost-order", ratings())
                    .with_duration(Duration::from_secs(1));
                judge.observe(&observation);
            }
            let evidence = StoredEvidence { attempt: 1, judge: judge.state(), key_ledgers: None };
            let json = serde_json::to_vec(&judge.state()).unwrap().len();
            let len = serde_json::to_vec(&evidence).unwrap().len();
            println!("step {step}: {json} bytes of JSON, {len} bytes stored");
            assert!(len <= Document::MAX_LEN / 2, "step {step}: {len} bytes");
            let again: StoredEvidence =
                serde_json::from_slice(&serde_json::to_vec(&evidence).unwrap()).unwrap();
            let monitors = plan.judge_monitors_by(Unit::Calls);
            let resumed = Judge::try_resume(plan.levels(), monitors, &again.judge).unwrap();
            assert_eq!(resumed.judgment().to_string(), judge.judgment().to_string());
        }
    }
}
