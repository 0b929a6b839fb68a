//! What the judge says, as a rollout asks it.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use canary_analysis::{
    Judge, JudgeError, Judgment, KeyLedger, Levels, Monitor, Observation, SlowLimit, Tick, Until,
};
use canary_core::{
    Channel, ChannelCounts, Counts, EpochCounts, LatencyBucket, PerChannel, Snapshot, Verdict,
    Weight,
};

const TEN: Weight = Weight::from_percent(10);

fn judge(monitors: impl IntoIterator<Item = Monitor>) -> Judge {
    Judge::try_new(Levels::default(), monitors).unwrap()
}

fn calls(success: u64, failure: u64) -> ChannelCounts {
    let mut counts = ChannelCounts::default();
    (counts.picked, counts.success, counts.failure) = (success + failure, success, failure);
    counts
}

fn snapshot(weight: Weight, stable: ChannelCounts, canary: ChannelCounts) -> Snapshot {
    let mut counts = Counts::default();
    counts.evidence = PerChannel { stable, canary };
    Snapshot::new(Counts::default(), vec![EpochCounts::new(1, weight, counts)])
}

fn judged(monitor: Monitor, difference: Snapshot) -> Judgment {
    let mut judge = judge([monitor]);
    judge.observe(&Observation::of(difference));
    judge.judgment()
}

fn ticks(calls: [u64; 2], adverse: [u64; 2]) -> [Tick; 1] {
    let of = |[stable, canary]: [u64; 2]| PerChannel { stable, canary };
    [Tick::try_new(TEN, of(calls), of(adverse)).unwrap()]
}

fn at(latencies: &[(u64, u64)], calls: ChannelCounts) -> ChannelCounts {
    let mut counts = calls;
    for (millis, number) in latencies {
        counts.head.add(LatencyBucket::of(Duration::from_millis(*millis)), *number);
    }
    counts
}

#[test]
fn no_calls_are_inconclusive_and_said_so() {
    let judgment = judge([Monitor::failures()]).judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    let text = "inconclusive in `failures`: no calls seen yet, on neither channel";
    assert_eq!(judgment.to_string(), text);
}

#[test]
fn one_channel_empty_is_inconclusive() {
    let no_canary = judged(Monitor::failures(), snapshot(TEN, calls(12_000, 345), calls(0, 0)));
    assert_eq!(no_canary.verdict, Verdict::Inconclusive);
    assert!(no_canary.to_string().ends_with("no canary calls yet, 12,345 of stable's"));

    // A canary that fails while stable has had no call at this weight is no comparison, but for
    // chance.
    let no_stable =
        judged(Monitor::failures(), snapshot(Weight::from_percent(99), calls(0, 0), calls(0, 20)));
    assert_eq!(no_stable.verdict, Verdict::Inconclusive);
}

#[test]
fn nothing_but_failures_on_both_channels_is_no_fault_of_the_canary() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(0, 9_000), calls(0, 1_000)));
    assert_eq!(judgment.verdict, Verdict::Healthy);
}

#[test]
fn a_canary_that_is_worse_is_degraded_with_a_sentence() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(8_919, 81), calls(969, 31)));
    assert_eq!(
        judgment.to_string(),
        "degraded by `failures`: canary fails 3.1 % of calls against stable's 0.9 %; \
         odds against chance 140,000 : 1",
    );
    let finding = judgment.decisive().unwrap();
    assert!(finding.ratio.lower > 1.0);
    assert!(finding.rate(Channel::Canary).unwrap() > finding.rate(Channel::Stable).unwrap());
}

#[test]
fn a_good_canary_is_healthy_with_a_sentence() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(9_000, 0), calls(1_000, 0)));
    assert_eq!(
        judgment.to_string(),
        "healthy in all monitors, among them `failures`: canary fails 0 % of calls against \
         stable's 0 %; proven below 2 times stable's, or below 0.5 %, at odds of 42 : 1",
    );
}

#[test]
fn spilled_calls_count_against_the_canary() {
    let mut canary = calls(0, 0);
    (canary.picked, canary.spilled) = (50, 50);
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(450, 0), canary));
    assert_eq!(judgment.verdict, Verdict::Degraded);
}

#[test]
fn a_canary_whose_callers_leave_is_degraded() {
    let (mut stable, mut canary) = (calls(900, 0), calls(60, 0));
    stable.cancelled = 9;
    canary.cancelled = 40;
    let judgment = judged(Monitor::cancelled(), snapshot(TEN, stable, canary));
    assert_eq!(judgment.verdict, Verdict::Degraded);
}

#[test]
fn a_broken_checkout_does_not_hide_among_healthy_reads() {
    let mut judge = judge([Monitor::failures(), Monitor::failures().of_class("checkout")]);
    let reads = snapshot(TEN, calls(900_000, 900), calls(100_000, 100));
    let checkout = snapshot(TEN, calls(9_000, 9), calls(950, 50));
    judge.observe(&Observation::of(reads).with_class("checkout", checkout));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    assert_eq!(judgment.decisive().unwrap().monitor, "failures of checkout");
    assert_ne!(judgment.findings[0].verdict, Verdict::Degraded);
}

#[test]
fn a_monitor_that_only_watches_neither_decides_nor_takes_of_alpha() {
    let bad = ticks([900, 100], [9, 90]);
    let mut judge = judge([Monitor::failures(), Monitor::event("order").watch_only()]);
    judge.observe(
        &Observation::of(snapshot(TEN, calls(9_000, 0), calls(1_000, 0))).with_event("order", bad),
    );
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Healthy);
    assert_eq!(judgment.findings[1].verdict, Verdict::Degraded);
    assert!((judgment.findings[0].worse.needed() - 100.0).abs() < 1e-9);
}

#[test]
fn alpha_is_split_over_the_monitors_that_decide() {
    let judge = judge([Monitor::failures(), Monitor::cancelled(), Monitor::share()]);
    assert!((judge.judgment().findings[0].worse.needed() - 300.0).abs() < 1e-9);
}

#[test]
fn feedback_and_events_are_monitors_like_any_other() {
    let bad = ticks([900, 100], [90, 60]);
    let mut judge = judge([Monitor::feedback(), Monitor::event("order not completed")]);
    judge.observe(&Observation::default().with_feedback(bad));
    assert_eq!(judge.judgment().decisive().unwrap().monitor, "feedback");

    let one_more = Observation::default().with_event("order not completed", bad);
    judge.observe(&one_more);
    assert_eq!(judge.judgment().findings[1].verdict, Verdict::Degraded);
}

#[test]
fn all_monitors_must_be_healthy_before_the_canary_is() {
    let mut judge = judge([Monitor::failures(), Monitor::feedback()]);
    judge.observe(&Observation::of(snapshot(TEN, calls(9_000, 0), calls(1_000, 0))));
    let judgment = judge.judgment();
    assert_eq!(judgment.findings[0].verdict, Verdict::Healthy);
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert_eq!(judgment.decisive().unwrap().monitor, "feedback");
}

#[test]
fn a_broken_split_stops_the_rollout() {
    let mut judge = judge([Monitor::failures(), Monitor::share()]);
    judge.observe(&Observation::of(snapshot(TEN, calls(9_000, 0), calls(9_000, 0))));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    assert!(judgment.to_string().contains("was given 50 % of calls where 10 % was asked"));
    assert!(judgment.to_string().ends_with("the assignment itself is broken"));
}

#[test]
fn slow_calls_are_judged_by_the_stable_calls_before_them() {
    let limit = SlowLimit::stable_quantile(0.9).unwrap();
    let mut judge = judge([Monitor::slow(Until::Head, limit)]);
    let tick = |slow_canary| {
        let stable = at(&[(10, 860), (100, 40)], calls(900, 0));
        let canary = at(&[(10, 100 - slow_canary), (40, slow_canary)], calls(100, 0));
        Observation::of(snapshot(TEN, stable, canary))
    };
    judge.observe(&tick(90));
    let first = judge.judgment();
    assert_eq!(first.findings[0].calls, PerChannel::default(), "no limit was known before");

    judge.observe(&tick(90));
    let second = judge.judgment();
    assert_eq!(second.verdict, Verdict::Degraded);
    assert_eq!(second.findings[0].adverse, PerChannel { stable: 40, canary: 90 });
    let limit = second.findings[0].slow_limit.unwrap();
    assert!(limit >= Duration::from_millis(10) && limit < Duration::from_millis(13));
}

#[test]
fn a_slow_monitor_without_a_limit_says_what_it_waits_for() {
    let limit = SlowLimit::stable_quantile(0.99).unwrap();
    let judgment =
        judged(Monitor::slow(Until::End, limit), snapshot(TEN, calls(9, 0), calls(1, 0)));
    assert!(
        judgment.to_string().ends_with("what is slow is not known yet: stable has too few calls")
    );
}

#[test]
fn a_user_who_retries_counts_once() {
    let mut judge = judge([Monitor::failures().per_key()]);
    let mut ledger = KeyLedger::new(100);
    let weight = Weight::from_percent(1);
    for _ in 0..50 {
        ledger.record(7, Channel::Canary, weight);
    }
    judge.observe(
        &Observation::of(snapshot(weight, calls(9_900, 0), calls(50, 50)))
            .with_keys("failures", &ledger.take()),
    );
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert!(judgment.to_string().contains("1 keys were hit on the canary, 0 on stable"));
}

#[test]
fn many_users_hit_are_degraded() {
    let mut judge = judge([Monitor::failures().per_key()]);
    let mut ledger = KeyLedger::new(8);
    for key in 0..10 {
        ledger.record(key, Channel::Canary, TEN);
    }
    judge.observe(
        &Observation::of(snapshot(TEN, calls(900, 0), calls(50, 50)))
            .with_keys("failures", &ledger.take()),
    );
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    let told = "the ledger of keys is full, 2 events were not counted";
    assert!(judgment.to_string().ends_with(told));
}

#[test]
fn replicas_put_together_are_judged_as_one_process() {
    let limit = SlowLimit::stable_quantile(0.9).unwrap();
    let monitors = || [Monitor::failures(), Monitor::slow(Until::Head, limit), Monitor::feedback()];
    let part = |calls_of_canary, failures| {
        let stable = at(&[(10, 700), (90, 70)], calls(760, 10));
        let canary = at(&[(30, calls_of_canary)], calls(calls_of_canary - failures, failures));
        snapshot(TEN, stable, canary)
    };
    let feedback = ticks([9, 9], [1, 8]);
    let (mut fleet, mut process) = (judge(monitors()), judge(monitors()));
    for _ in 0..3 {
        let replica = Observation::of(part(90, 4));
        let other = Observation::of(part(50, 1)).with_feedback(feedback);
        fleet.observe(&replica.with_replica(other));

        let mut sum = part(90, 4);
        sum.epochs[0].counts.merge(&part(50, 1).epochs[0].counts);
        process.observe(&Observation::of(sum).with_feedback(feedback));
    }
    assert_eq!(fleet.state(), process.state());
}

#[test]
fn monitors_that_cannot_work_are_named() {
    let fail = |monitors: Vec<Monitor>| Judge::try_new(Levels::default(), monitors).unwrap_err();
    let twice = fail(vec![Monitor::failures(), Monitor::failures()]);
    assert_eq!(twice.to_string(), "two monitors are named `failures`");
    assert_eq!(fail(vec![Monitor::failures().named(" ")]), JudgeError::NameIsEmpty);
    assert_eq!(fail(vec![]), JudgeError::NothingDecides);
    assert_eq!(fail(vec![Monitor::share()]), JudgeError::NothingDecides);
    let watching = vec![Monitor::failures().watch_only()];
    assert_eq!(fail(watching), JudgeError::NothingDecides);
}

#[test]
fn levels_out_of_range_are_named() {
    for (alpha, beta, text) in [
        (0.0, 0.1, "level `alpha` is 0, expected above 0 and up to 0.5"),
        (0.1, 0.6, "level `beta` is 0.6, expected above 0 and up to 0.5"),
        (f64::NAN, 0.1, "level `alpha` is NaN, expected above 0 and up to 0.5"),
    ] {
        assert_eq!(Levels::try_new(alpha, beta).unwrap_err().to_string(), text);
    }
}

#[test]
fn counts_near_the_end_of_their_type_do_no_harm() {
    let mut huge = ChannelCounts::default();
    (huge.picked, huge.success, huge.failure) = (u64::MAX, u64::MAX, u64::MAX);
    let mut judge = judge([Monitor::failures(), Monitor::share(), Monitor::cancelled()]);
    for _ in 0..3 {
        judge.observe(&Observation::of(snapshot(TEN, huge.clone(), huge.clone())));
    }
    let judgment = judge.judgment();
    assert!(judgment.findings.iter().all(|finding| finding.worse.log_e.is_finite()));
    assert!(!judgment.to_string().contains("NaN"));
}

#[test]
fn values_may_be_sent_and_shared() {
    fn assert<T: Clone + std::fmt::Debug + Send + Sync>() {}
    assert::<Judge>();
    assert::<Judgment>();
    assert::<Observation>();
    assert::<KeyLedger>();
    assert::<Monitor>();
}
