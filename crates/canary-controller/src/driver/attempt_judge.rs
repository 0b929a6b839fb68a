use std::{collections::BTreeSet, sync::Arc};

use canary_analysis::{
    AdverseCounts, Guard, Judge, JudgeState, Judgment, Monitor, Observation, ResumeError,
};
use canary_core::{PerChannel, RatingsByWeight, Snapshot, Weight};
use canary_rollout::Plan;
use serde::{Deserialize, Serialize};
use tower_canary::{CanaryHandle, control::ControlExt};

use crate::{
    driver::key_ledgers::{Books, Ledgers},
    weight_lock::Alarm,
};

/// The judge of an attempt, and how far it has read the data plane's counts.
pub(crate) struct Evidence {
    attempt: u64,
    judge: Judge,
    read: Snapshot,
    /// None without monitors per key.
    ledgers: Option<Ledgers>,
    guard: Option<Arc<LiveGuard>>,
}

type LiveGuard = Guard<Box<dyn Fn() -> Snapshot + Send + Sync>>;

/// Evidence as it is stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct StoredEvidence {
    /// The attempt in which it was collected.
    attempt: u64,
    judge: JudgeState,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    books: Option<Books>,
}

impl Evidence {
    /// None yet, about calls that start from now on.
    pub(crate) fn begin(
        attempt: u64,
        plan: &Plan,
        canary: &CanaryHandle,
        alarm: &Arc<Alarm>,
    ) -> Self {
        Self::new(attempt, plan.judge(), None, canary, alarm)
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
    ) -> Result<Self, NotResumed> {
        let judge = Judge::try_resume(plan.levels(), plan.judge_monitors(), &stored.judge)?;
        if !Books::are_of(stored.books.as_ref(), &judge) {
            return Err(NotResumed::Keys);
        }
        let books = stored.books.clone();
        Ok(Self::new(stored.attempt, judge, books, canary, alarm))
    }

    fn new(
        attempt: u64,
        judge: Judge,
        books: Option<Books>,
        canary: &CanaryHandle,
        alarm: &Arc<Alarm>,
    ) -> Self {
        let ledgers = Ledgers::new(&judge, canary, books);
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
        Self { attempt, judge, read, ledgers, guard }
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
        let mut observation = observation(difference, &self.judge);
        if let Some(ledgers) = &mut self.ledgers {
            observation = ledgers.observe(&self.judge, observation);
        }
        self.judge.observe(&observation);
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
        let books = self.ledgers.as_ref().map(|ledgers| ledgers.books().clone());
        StoredEvidence { attempt: self.attempt, judge: self.judge.state(), books }
    }
}

/// What was counted since the last look, and what users and the application said of it.
fn observation(mut difference: Snapshot, judge: &Judge) -> Observation {
    let ratings = std::mem::take(&mut difference.ratings);
    let classes: BTreeSet<&str> = judge.monitors().filter_map(Monitor::class).collect();
    let of_class: Vec<_> =
        classes.into_iter().map(|class| (class, difference.of_class(class))).collect();
    let mut observation = Observation::of(difference).with_feedback(ticks(&ratings.feedback));
    for (event, rated) in ratings.events() {
        observation = observation.with_event(event.as_str(), ticks(rated));
    }
    for (class, calls) in of_class {
        observation = observation.with_class(class, calls);
    }
    observation
}

fn ticks(rated: &RatingsByWeight) -> impl Iterator<Item = AdverseCounts> {
    rated.evidence().iter().filter_map(|(weight, occasions)| {
        let of = |count: fn(&canary_core::RatingCounts) -> u64| PerChannel {
            stable: count(&occasions.stable),
            canary: count(&occasions.canary),
        };
        AdverseCounts::try_new(*weight, of(|it| it.total), of(|it| it.adverse)).ok()
    })
}

impl StoredEvidence {
    pub(crate) const fn attempt(&self) -> u64 {
        self.attempt
    }

    /// The same with half of the keys, for a store in which it does not fit; none if there are none left.
    pub(crate) fn with_fewer_keys(&self) -> Option<Self> {
        let books = Some(self.books.as_ref()?.halved()?);
        Some(Self { books, ..self.clone() })
    }
}

/// Stored evidence that is begun anew.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotResumed {
    #[error(transparent)]
    Judge(#[from] ResumeError),
    /// Keys that were counted would count once more.
    #[error("the stored keys are of other monitors")]
    Keys,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use canary_analysis::{Levels, SlowLimit, Until};
    use canary_core::{ChannelCounts, Counts, EpochCounts, LatencyBucket, Verdict};

    use super::*;

    /// Ninety good checkouts of stable's, those of the canary's as told, and a hundred times as many reads.
    fn judged(monitor: Monitor, checkout: impl Fn(&mut ChannelCounts)) -> Verdict {
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
        checkout(&mut canary);
        let classed = PerChannel { stable: calls(90), canary };
        let mut counts = Counts::default();
        counts.evidence = PerChannel { stable: calls(9_000), canary: calls(990) };
        counts.evidence.stable.merge(&classed.stable);
        counts.evidence.canary.merge(&classed.canary);
        counts.classes.insert("checkout".parse().unwrap(), classed);
        let epoch = EpochCounts::new(0, Weight::from_percent(10), counts);
        let mut judge = Judge::try_new(Levels::default(), [monitor]).unwrap();
        judge.observe(&observation(Snapshot::new(Counts::default(), vec![epoch]), &judge));
        assert!(judge.judgment().unused.is_empty());
        judge.verdict()
    }

    #[test]
    fn what_goes_badly_in_a_class_is_judged_there() {
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
            let of_checkout = || monitor.clone().of_class("checkout");
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
