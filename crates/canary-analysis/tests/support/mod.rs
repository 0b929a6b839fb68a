//! Helpers for tests of the judge.

#![allow(dead_code, reason = "each test uses some of the helpers")]
#![allow(unreachable_pub, reason = "this module is part of test binaries")]

use std::time::Duration;

use canary_analysis::{AdverseCounts, Judge, Judgment, Levels, Monitor, Observation};
use canary_core::{
    ChannelCounts, Counts, EpochCounts, LatencyBucket, PerChannel, Snapshot, Weight,
};

pub const TEN: Weight = Weight::from_percent(10);

pub fn judge(monitors: impl IntoIterator<Item = Monitor>) -> Judge {
    Judge::try_new(Levels::default(), monitors).unwrap()
}

/// Returns a judge that knows stable from before the rollout: more than eleven minutes of such
/// seconds.
pub fn judge_after(second: &ChannelCounts, monitors: impl IntoIterator<Item = Monitor>) -> Judge {
    let monitors: Vec<Monitor> = monitors.into_iter().collect();
    let mut idle = judge(monitors.clone());
    let none = ChannelCounts::default();
    let second = Observation::of(snapshot(Weight::ZERO, second.clone(), none));
    (0..700).for_each(|_| idle.observe(&second));
    judge(monitors).try_with_baseline(&idle.baseline()).unwrap()
}

pub fn calls(success: u64, failure: u64) -> ChannelCounts {
    let mut counts = ChannelCounts::default();
    (counts.picked, counts.success, counts.failure) = (success + failure, success, failure);
    counts
}

pub fn snapshot(weight: Weight, stable: ChannelCounts, canary: ChannelCounts) -> Snapshot {
    let mut counts = Counts::default();
    counts.evidence = PerChannel { stable, canary };
    Snapshot::new(Counts::default(), vec![EpochCounts::new(1, weight, counts)])
}

pub fn judged(monitor: Monitor, difference: Snapshot) -> Judgment {
    let mut judge = judge([monitor]);
    judge.observe(&Observation::of(difference));
    judge.judgment()
}

pub fn ticks(calls: [u64; 2], adverse: [u64; 2]) -> [AdverseCounts; 1] {
    let of = |[stable, canary]: [u64; 2]| PerChannel { stable, canary };
    [AdverseCounts::try_new(TEN, of(calls), of(adverse)).unwrap()]
}

pub fn at(latencies: &[(u64, u64)], calls: ChannelCounts) -> ChannelCounts {
    let mut counts = calls;
    for (millis, number) in latencies {
        counts.head.add(LatencyBucket::of(Duration::from_millis(*millis)), *number);
    }
    counts
}
