use canary_analysis::{Baseline, JudgeState, error::ResumeError};
use serde::{Deserialize, Serialize};

use crate::{compact, driver::key_ledgers::KeyLedgers};

/// The stored form of the evidence.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct StoredEvidence {
    pub(super) attempt: u64,
    #[serde(with = "compact")]
    pub(super) judge: JudgeState,
    #[serde(with = "compact")]
    pub(super) key_ledgers: Option<KeyLedgers>,
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

    use canary_analysis::{AdverseCounts, Judge, Unit};
    use canary_core::{
        ChannelCounts, Counts, EpochCounts, LatencyBucket, PerChannel, Snapshot, Weight,
    };
    use canary_rollout::Plan;

    use super::*;
    use crate::{driver::observation::to_observation, store::Document};

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
        let steps: Vec<_> = (1..=100)
            .map(|step| 9_731 * step)
            .map(|ppm| format!("{{ weight = '{}.{:04}%' }}", ppm / 10_000, ppm % 10_000))
            .collect();
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
    fn the_evidence_of_the_largest_plan_fills_at_most_three_quarters_of_a_document() {
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
            assert!(len <= Document::MAX_LEN / 4 * 3, "step {step}: {len} bytes");
            let again: StoredEvidence =
                serde_json::from_slice(&serde_json::to_vec(&evidence).unwrap()).unwrap();
            let monitors = plan.judge_monitors_by(Unit::Calls);
            let resumed = Judge::try_resume(plan.levels(), monitors, &again.judge).unwrap();
            assert_eq!(resumed.judgment().to_string(), judge.judgment().to_string());
        }
    }
}
