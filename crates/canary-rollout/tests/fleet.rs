//! The counts of a fleet: their sum, and their stored form.

#![allow(clippy::unwrap_used, reason = "test code")]

mod sim;

use std::time::Duration;

use canary_analysis::{Judge, Levels, Monitor, SlowLimit, Until};
use canary_core::{
    Age, Channel, Counts, EpochCounts, LatencyBucket, Rating, Ratings, Snapshot, Verdict, Weight,
};
use canary_rollout::{
    Command, Phase,
    fleet::{Fleet, FleetCounts, JudgedCounts, UsedCounts},
    replica::ReplicaId,
};
use sim::Sim;

fn judge(monitors: impl IntoIterator<Item = Monitor>) -> Judge {
    Judge::try_new(Levels::default(), monitors).unwrap()
}

fn all_monitors() -> Judge {
    let limit = SlowLimit::fixed(Duration::from_millis(300)).unwrap();
    judge([
        Monitor::failures(),
        Monitor::failures().of_class("checkout"),
        Monitor::slow(Until::Head, limit),
        Monitor::slow(Until::End, limit).of_class("checkout"),
        Monitor::unanswered(),
        Monitor::feedback(),
        Monitor::event("order"),
    ])
}

/// Calls of every kind at one weight.
fn snapshot(epoch: u64, weight: Weight, calls: u64) -> Snapshot {
    let mut counts = Counts::default();
    let mut classed = canary_core::PerChannel::default();
    for channel in Channel::ALL {
        for counts in [&mut counts.evidence[channel], &mut classed[channel]] {
            counts.picked = 10 * calls;
            counts.success = 5 * calls;
            counts.client_made = calls;
            counts.failure = 2 * calls;
            counts.cancelled = 2 * calls;
            counts.cancelled_after_tag = calls;
            counts.spilled = calls;
            counts.panicked = calls;
            counts.unanswered[Age::ThirtySeconds] = calls;
            for latencies in [&mut counts.head, &mut counts.end] {
                latencies.add(LatencyBucket::of(Duration::from_millis(70)), 4 * calls);
                latencies.add(LatencyBucket::of(Duration::from_secs(3)), calls);
            }
        }
        counts.excluded[channel].picked = calls;
    }
    counts.classes.insert("checkout".parse().unwrap(), classed.clone());
    counts.classes.insert("search".parse().unwrap(), classed);
    let mut ratings = Ratings::try_new(["order", "visit"].map(|it| it.parse().unwrap())).unwrap();
    for number in 0..calls {
        let rating = if number % 3 == 0 { Rating::Bad } else { Rating::Good };
        for event in ["order", "visit"] {
            ratings.event_mut(event).unwrap().count(Channel::Canary, weight, rating);
        }
        ratings.feedback.count(Channel::Stable, weight, rating);
    }
    Snapshot::new(Counts::default(), vec![EpochCounts::new(epoch, weight, counts)])
        .with_ratings(ratings)
}

fn counted(calls: &[(u32, u64)], used: &UsedCounts) -> FleetCounts {
    let mut counts = FleetCounts::default();
    for (percent, calls) in calls {
        counts.add(&snapshot(1, Weight::from_percent(*percent), *calls), used);
    }
    counts
}

#[test]
fn counts_are_the_same_after_they_were_stored() {
    let counts = counted(&[(1, 3), (10, 500)], &UsedCounts::of(&all_monitors()));
    let stored = serde_json::to_string(&counts).unwrap();
    assert_eq!(serde_json::from_str::<FleetCounts>(&stored).unwrap(), counts);
    assert!(stored.contains("checkout") && stored.contains("order"), "{stored}");
    // What no monitor uses is not stored, nor are zeros.
    assert!(!stored.contains("search") && !stored.contains("visit"), "{stored}");
    let failures = counted(&[(1, 3)], &UsedCounts::of(&judge([Monitor::failures()])));
    let stored = serde_json::to_string(&failures).unwrap();
    assert!(stored.len() < 160, "{stored}");
}

#[test]
fn damaged_counts_are_refused() {
    for (text, error) in [
        (r#"{"calls":{"1000001":{"all":[{},{}]}}}"#, "1000001"),
        (r#"{"calls":{"1":{"all":[{"h":{"94":1}},{}]}}}"#, "latency bucket 94 is not below 94"),
        (r#"{"calls":{"1":{"all":[{},{}],"classes":{"/a":[{},{}]}}}}"#, "route class"),
    ] {
        let refused = serde_json::from_str::<FleetCounts>(text).unwrap_err().to_string();
        assert!(refused.contains(error), "{refused}");
    }
}

#[test]
fn calls_of_one_weight_are_added_whatever_their_epoch() {
    let used = UsedCounts::of(&all_monitors());
    let mut counts = FleetCounts::default();
    for epoch in 1..=3 {
        counts.add(&snapshot(epoch, Weight::from_percent(5), 10), &used);
    }
    assert_eq!(counts.canary_calls(Weight::from_percent(5)), 3 * 70);
    assert_eq!(counts, counted(&[(5, 10), (5, 10), (5, 10)], &used));
    assert_eq!(counts.weights().collect::<Vec<_>>(), [Weight::from_percent(5)]);
}

/// The judge of the sum of several replicas finds what the judge of one process would find.
#[test]
fn a_look_at_a_sum_is_a_look_at_all_calls() {
    let (mut of_one, mut of_fleet) = (all_monitors(), all_monitors());
    let used = UsedCounts::of(&of_one);
    let mut judged = FleetCounts::default();
    for round in 1..20 {
        let here = counted(&[(1, round), (10, 7 * round)], &used);
        let there = counted(&[(10, 3 * round)], &used);
        let mut sum = here.clone();
        sum.merge(&there);
        of_fleet.observe(&sum.since(&judged).unwrap().to_observation());
        judged = sum;
        let look = counted(&[(1, 1), (10, 10)], &used);
        of_one.observe(&look.to_observation());
    }
    assert_eq!(of_fleet.judgment().to_string(), of_one.judgment().to_string());
    assert!(of_fleet.judgment().unused.is_empty());
}

#[test]
fn a_monitor_of_a_class_judges_the_calls_of_that_class() {
    for class in ["checkout", "search"] {
        let mut judge = judge([Monitor::failures().of_class(class)]);
        let used = UsedCounts::of(&judge);
        let weight = Weight::from_percent(10);
        let mut counts = Counts::default();
        let mut classed = canary_core::PerChannel::default();
        let canary: &mut canary_core::ChannelCounts = &mut classed[Channel::Canary];
        (canary.picked, canary.failure) = (10, 10);
        counts.evidence = classed.clone();
        counts.evidence.stable.picked = 9_000;
        counts.evidence.stable.success = 9_000;
        counts.classes.insert("checkout".parse().unwrap(), classed);
        let epoch = EpochCounts::new(1, weight, counts);
        let mut look = FleetCounts::default();
        look.add(&Snapshot::new(Counts::default(), vec![epoch]), &used);
        judge.observe(&look.to_observation());
        assert_eq!(judge.verdict() == Verdict::Degraded, class == "checkout", "{class}");
    }
}

#[test]
fn a_plan_waits_for_the_quorum_and_still_rolls_back() {
    let lost = |heard| Some(Fleet::new(heard, (heard as u64..9).map(ReplicaId::from_random)));
    let mut sim = Sim::started(
        "steps = [
            { weight = '1%', min_duration = '10s', deadline = '30s' },
            { weight = '10%', min_duration = '10s' },
        ]",
    );
    sim.run(9);
    // The plan stands still, so that no deadline passes.
    for _ in 0..60 {
        sim.now = sim.now + Duration::from_secs(1);
        sim.tick_with(|tick| tick.with_fleet(lost(4)));
    }
    let waits = sim.waits();
    assert!(waits.ends_with("4 of 9 replicas heard, at least 5 needed"), "{waits}");
    assert_eq!(sim.rollout.phase(), Phase::Running);
    assert_eq!(sim.weight, Weight::from_percent(1));
    sim.restart();
    // It is not known for a while, because another replica drives.
    sim.run(5);
    assert_eq!(sim.weight, Weight::from_percent(1));
    for _ in 0..3 {
        sim.now = sim.now + Duration::from_secs(1);
        sim.tick_with(|tick| tick.with_fleet(lost(5)));
    }
    assert_eq!(sim.weight, Weight::from_percent(10));
    let log = sim.take_log();
    assert_eq!(
        log.iter().filter(|it| it.contains("quorum")).collect::<Vec<_>>(),
        ["the plan lost the quorum", "the plan regained the quorum"]
    );
    sim.verdict = Verdict::Degraded;
    sim.tick_with(|tick| tick.with_fleet(lost(1)));
    assert_eq!(sim.rollout.phase(), Phase::RolledBack);
    sim.order(Command::Start);
    assert!(!sim.waits().contains("replicas"), "{}", sim.waits());
}

#[test]
fn closed_weights_are_not_judged_and_the_others_continue() {
    let used = UsedCounts::of(&judge([Monitor::failures()]));
    let mut judged = JudgedCounts::default();
    let sum = |calls| counted(&[(1, calls), (5, calls), (10, calls)], &used);
    judged.advance(sum(10)).unwrap();
    let smaller = judged.closing(Weight::from_percent(1)).unwrap();
    assert_eq!(judged.closing(Weight::from_percent(1)), Some(smaller.clone()));
    judged.close(smaller.closed());
    assert_eq!(judged, smaller);
    let look = judged.advance(sum(12)).unwrap();
    assert_eq!(look.weights().collect::<Vec<_>>(), [1, 10].map(Weight::from_percent));
    assert_eq!(look.canary_calls(Weight::from_percent(10)), 14);
    let last = smaller.closing(Weight::from_percent(1)).unwrap();
    assert_eq!(last.closing(Weight::from_percent(1)), None);
    let missing = judged.advance(sum(11)).unwrap_err().to_string();
    assert_eq!(missing, "counts at weight 1% are missing that the judge has observed");
}
