use canary_analysis::{Baseline, Judge, JudgeState, Unit, error::ResumeError};
use canary_core::Weight;
use canary_rollout::{
    Plan,
    fleet::{JudgedCounts, Roster},
};
use serde::{Deserialize, Serialize};

use crate::{
    compact::{self, Compact, CompactText},
    driver::key_ledgers::KeyLedgers,
};

/// The stored form of the evidence.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct StoredEvidence {
    pub(super) attempt: u64,
    pub(super) judge: CompactText<JudgeState>,
    #[serde(with = "compact")]
    pub(super) key_ledgers: Option<KeyLedgers>,
    /// The counts of all replicas that the judge has observed. The board has at least these.
    #[serde(default)]
    pub(super) judged: Compact<JudgedCounts>,
    /// The replicas whose entries these counts are from.
    #[serde(default, with = "compact")]
    pub(super) roster: Roster,
}

impl StoredEvidence {
    /// Returns what the judge knew about stable, which holds for the next attempt too.
    pub(crate) fn baseline(&self) -> Baseline {
        self.judge.read().baseline()
    }

    /// Returns the judge with this evidence. The unit is that of monitors whose plan names none.
    ///
    /// # Errors
    ///
    /// Returns an error if the evidence does not belong to the monitors of the plan.
    pub(crate) fn resume(&self, plan: &Plan, unit: Unit) -> Result<Judge, NotResumed> {
        let monitors = plan.judge_monitors_by(unit);
        let judge = Judge::try_resume(plan.levels(), monitors, &self.judge.read())?
            .with_second_proof(plan.second_proof());
        if KeyLedgers::match_monitors(self.key_ledgers.as_ref(), &judge) {
            Ok(judge)
        } else {
            Err(NotResumed::Keys)
        }
    }

    /// Returns smaller evidence: with half of the weights before the `current` one closed, or, if all
    /// of them are, with half of the keys. Few calls of a finished weight are still open, and a key that
    /// is left out never counts again. Returns `None` if there is nothing to leave out.
    pub(crate) fn smaller(&self, current: Weight) -> Option<Self> {
        if let Some(judged) = self.judged.closing(current) {
            return Some(Self { judged: judged.into(), ..self.clone() });
        }
        let key_ledgers = self.key_ledgers.as_ref()?.halved()?;
        Some(Self { key_ledgers: Some(key_ledgers), ..self.clone() })
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
    use std::{collections::BTreeSet, time::Duration};

    use canary_analysis::AdverseCounts;
    use canary_core::{Channel, Counts, EpochCounts, PerChannel, Snapshot};
    use canary_rollout::{
        fleet::{
            BoardSign, FleetCounts, UsedCounts,
            keys::{KeyLog, KeyRecord},
        },
        replica::ReplicaId,
    };

    use super::*;
    use crate::{
        driver::{key_ledgers::MAX_KEYS, random_numbers::Numbers},
        store::Document,
    };

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

    /// Ledgers with the most keys, each of which is in all of them.
    fn full_ledgers(judge: &Judge, weight: Weight, numbers: &mut Numbers) -> Option<KeyLedgers> {
        let mut ledgers = KeyLedgers::empty(judge, 0x5eed)?;
        let all: BTreeSet<u8> = (0..).take(ledgers.names().len()).collect();
        let mut log = KeyLog::new(1, ledgers.sample());
        log.extend((0..MAX_KEYS).map(|_| {
            let (key, channel) = (Some(numbers.below(u64::MAX)), Channel::Stable);
            KeyRecord { key, channel, weight, ledgers: all.clone() }
        }));
        ledgers.add_unjudged(&log.all());
        ledgers.drop_counts();
        Some(ledgers)
    }

    /// A value of more JSON than can be read again is too long at any size.
    fn stored_len(evidence: &StoredEvidence) -> usize {
        serde_json::to_vec(evidence).map_or(usize::MAX, |text| text.len())
    }

    #[test]
    fn the_evidence_of_the_largest_plan_fills_at_most_three_quarters_of_a_document() {
        fill_evidence(Unit::Calls);
    }

    #[test]
    fn the_evidence_of_the_largest_plan_has_room_for_keys() {
        fill_evidence(Unit::Keys);
    }

    /// Fills the evidence of the largest plan step by step.
    fn fill_evidence(unit: Unit) {
        let plan = largest_plan();
        let mut judge = plan.judge_by(unit);
        let (used, mut judged) = (UsedCounts::of(&judge), FleetCounts::default());
        let mut numbers = Numbers(0x5eed);
        let mut roster = Roster::default();
        for replica in 0..50 {
            roster.note_published(&ReplicaId::from_random(numbers.below(u64::MAX)), replica, 1);
        }
        let bake = Weight::from_percent(99);
        let weights = plan.steps().iter().map(|step| step.weight).chain([bake]);
        for (step, weight) in weights.enumerate() {
            judge.begin_step();
            for look in 0..if unit == Unit::Keys { 5 } else { 60 } {
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
                let mut look = FleetCounts::default();
                look.add(&snapshot, &used);
                judged.merge(&look);
                let observation = (look.to_observation())
                    .with_feedback(ratings())
                    .with_event("lost-order", ratings())
                    .with_duration(Duration::from_secs(1));
                judge.observe(&observation);
            }
            let evidence = StoredEvidence {
                attempt: 1,
                judge: CompactText::new(&judge.state()),
                key_ledgers: None,
                judged: Compact::default(),
                roster: roster.clone(),
            };
            let json = serde_json::to_vec(&judge.state()).unwrap().len();
            let len = serde_json::to_vec(&evidence).unwrap().len();
            println!("step {step}: {json} bytes of JSON, {len} bytes stored");
            assert!(len <= Document::MAX_LEN / 4 * 3, "step {step}: {len} bytes");
            if step % 20 == 0 {
                // Up to here with all counts of the fleet. Beyond, the earliest weights are closed, and
                // only then are keys left out.
                let judged = JudgedCounts::new(judged.clone()).into();
                let key_ledgers = full_ledgers(&judge, weight, &mut numbers);
                let full = StoredEvidence { judged, key_ledgers, ..evidence.clone() };
                let mut fitting = Some(full.clone());
                while fitting.as_ref().is_some_and(|it| stored_len(it) > Document::MAX_LEN) {
                    fitting = fitting.and_then(|it| it.smaller(weight));
                }
                let fitting = fitting.expect("the judge alone fits");
                println!(
                    "{} bytes stored with the counts, {}",
                    stored_len(&full),
                    stored_len(&fitting)
                );
                match &fitting.key_ledgers {
                    Some(keys) => {
                        assert!(keys.max_known() >= 100, "step {step}: {}", keys.max_known())
                    }
                    None => assert!(step > 20 || fitting.judged == full.judged, "step {step}"),
                }
            }
            let again: StoredEvidence =
                serde_json::from_slice(&serde_json::to_vec(&evidence).unwrap()).unwrap();
            let monitors = plan.judge_monitors_by(unit);
            let resumed = Judge::try_resume(plan.levels(), monitors, &again.judge.read()).unwrap();
            assert_eq!(resumed.judgment().to_string(), judge.judgment().to_string());
        }
    }

    /// The size is in the docs of `canary_rollout::fleet`.
    #[test]
    fn the_roster_of_a_thousand_crashed_replicas_fits_into_the_evidence() {
        #[derive(Serialize)]
        struct Stored {
            #[serde(with = "compact")]
            roster: Roster,
        }
        let (mut numbers, mut roster) = (Numbers(0x5eed), Roster::default());
        let replicas = Roster::MAX_REMEMBERED + Roster::MAX_FORGOTTEN + 31;
        let signs: Vec<_> = (0..replicas)
            .map(|_| {
                let replica = ReplicaId::from_random(numbers.below(u64::MAX));
                BoardSign::new(replica, numbers.below(500))
            })
            .collect();
        roster.observe(Duration::ZERO, &signs);
        roster.observe(Roster::FORGOTTEN, []);
        let len = serde_json::to_vec(&Stored { roster }).unwrap().len();
        println!("{len} bytes for {replicas} replicas");
        assert!(len <= 24_000, "{len} bytes");
    }

    /// The sizes are in the docs of `canary_rollout::fleet`.
    #[test]
    fn the_published_counts_of_a_replica_are_small() {
        #[derive(Serialize)]
        struct Published {
            #[serde(with = "compact")]
            counts: FleetCounts,
        }
        let default = "steps = [{ weight = '1%' }]";
        let failures = "steps = [{ weight = '1%' }]\nmonitors = [{ measure = 'failures' }]";
        for (toml, weights, most) in
            [(failures, 1, 300), (failures, 10, 1_200), (default, 1, 700), (default, 10, 6_000)]
        {
            let used = UsedCounts::of(&Plan::from_toml(toml).unwrap().judge_by(Unit::Calls));
            let (mut numbers, mut counts) = (Numbers(0x5eed), FleetCounts::default());
            for percent in 1..=weights {
                let mut at_weight = Counts::default();
                let weight = Weight::from_percent(percent);
                at_weight.evidence = PerChannel {
                    stable: numbers.counts(Weight::from_percent(100 - percent), 1_000_000),
                    canary: numbers.counts(weight, 1_000_000),
                };
                let epoch = EpochCounts::new(u64::from(percent), weight, at_weight);
                counts.add(&Snapshot::new(Counts::default(), vec![epoch]), &used);
            }
            let len = serde_json::to_vec(&Published { counts }).unwrap().len();
            println!("{len} bytes at {weights} weights with the monitors of {toml:?}");
            assert!(len <= most, "{len} bytes at {weights} weights");
        }
    }
}
