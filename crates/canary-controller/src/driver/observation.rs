use std::collections::BTreeSet;

use canary_analysis::{AdverseCounts, Judge, Monitor, Observation};
use canary_core::{PerChannel, RatingCounts, RatingsByWeight, Snapshot};

/// Converts the difference of two snapshots to an observation: calls, route classes, feedback and
/// events.
pub(super) fn to_observation(mut difference: Snapshot, judge: &Judge) -> Observation {
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use canary_analysis::{Levels, SlowLimit, Until};
    use canary_core::{ChannelCounts, Counts, EpochCounts, LatencyBucket, Verdict, Weight};

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
