//! Sticky traffic, counted per key.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::time::Duration;

use canary_analysis::{
    Monitor, Observation, SlowLimit, Until,
    judgment::NotHealthyReason,
    keys::{KeyCounts, KeyLedger, Recorded},
};
use canary_core::{Channel, LatencyBucket, PerChannel, Verdict, Weight};

use self::support::{TEN, calls, judge, snapshot, ticks};

mod support;

/// Counts keys from `first` on, `stable` and `canary` of them on each channel.
fn keys(weight: Weight, first: u64, stable: u64, canary: u64) -> KeyCounts {
    let mut ledger = KeyLedger::new(1_000_000);
    for key in first..first + stable {
        ledger.record(key, Channel::Stable, weight);
    }
    for key in first + stable..first + stable + canary {
        ledger.record(key, Channel::Canary, weight);
    }
    ledger.take()
}

fn healthy_calls() -> Observation {
    Observation::of(snapshot(TEN, calls(90_000, 0), calls(10_000, 0)))
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
            .with_adverse_keys("failures", &ledger.take()),
    );
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert!(judgment.to_string().contains("1 canary key affected, 0 stable keys"));
}

#[test]
fn many_affected_users_are_degraded() {
    let mut judge = judge([Monitor::failures().per_key()]);
    let mut ledger = KeyLedger::new(8);
    for key in 0..10 {
        ledger.record(key, Channel::Canary, TEN);
    }
    judge.observe(
        &Observation::of(snapshot(TEN, calls(900, 0), calls(50, 50)))
            .with_adverse_keys("failures", &ledger.take()),
    );
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    let reason = "the key ledger is full and missed 2 events";
    assert!(judgment.to_string().ends_with(reason));
}

#[test]
fn a_checkout_broken_for_every_key_does_not_hide_in_other_traffic() {
    let of_checkout = || Monitor::failures().per_key().of_class("checkout");
    let name = "failures of checkout";
    let checkout = || snapshot(TEN, calls(180, 0), calls(0, 20));
    let everywhere = keys(TEN, 0, 18_000, 2_000);

    // The seen keys of all calls belong to another monitor.
    let mut judge = judge([of_checkout()]);
    judge.observe(
        &healthy_calls()
            .with_class("checkout", checkout())
            .with_adverse_keys(name, &keys(TEN, 0, 0, 3))
            .with_seen_keys("failures", &everywhere),
    );
    assert_ne!(judge.verdict(), Verdict::Healthy);
    assert_eq!(judge.judgment().findings[0].calls, PerChannel::default());

    judge.observe(
        &Observation::default()
            .with_adverse_keys(name, &keys(TEN, 3, 0, 17))
            .with_seen_keys(name, &keys(TEN, 0, 180, 20)),
    );
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    assert!(
        judgment
            .to_string()
            .contains("20 of 20 canary keys affected (100%), 0 of 180 stable keys (0%)")
    );
}

#[test]
fn seen_keys_prove_nothing_without_adverse_keys() {
    let seen = keys(TEN, 0, 18_000, 2_000);
    let mut judge = judge([Monitor::failures().per_key()]);
    let misspelt = healthy_calls().with_adverse_keys("failurs", &keys(TEN, 0, 0, 2));
    judge.observe(&misspelt.with_seen_keys("failures", &seen));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert!(judgment.to_string().ends_with("used by no monitor: adverse keys for `failurs`"));

    let none = KeyLedger::new(1).take();
    let mut judge = support::judge([Monitor::failures().per_key()]);
    judge.observe(
        &healthy_calls().with_adverse_keys("failures", &none).with_seen_keys("failures", &seen),
    );
    assert_eq!(judge.verdict(), Verdict::Healthy);
}

#[test]
fn a_full_ledger_of_adverse_keys_proves_nothing_good() {
    let mut ledger = KeyLedger::new(2);
    for key in 0..3 {
        ledger.record(key, Channel::Stable, TEN);
    }
    let mut judge = judge([Monitor::failures().per_key()]);
    judge.observe(
        &healthy_calls()
            .with_adverse_keys("failures", &ledger.take())
            .with_seen_keys("failures", &keys(TEN, 0, 18_000, 2_000)),
    );
    let judgment = judge.judgment();
    assert!(judgment.findings[0].good.unwrap().is_reached());
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert!(judgment.to_string().ends_with("; the key ledger is full and missed 1 event"));
}

#[test]
fn calls_of_a_key_are_not_counted_as_keys() {
    // Every user of the canary has one failure in 2,000 calls.
    let adverse = keys(TEN, 0, 0, 20);
    let busy = || snapshot(TEN, calls(360_000, 0), calls(39_980, 20));
    let mut judge = judge([Monitor::failures().per_key()]);
    judge.observe(
        &Observation::of(busy())
            .with_adverse_keys("failures", &adverse)
            .with_seen_keys("failures", &keys(TEN, 0, 180, 20)),
    );
    assert_eq!(judge.verdict(), Verdict::Degraded);

    // Without seen keys, the comparison of the channels decides alone.
    let mut judge = support::judge([Monitor::failures().per_key()]);
    judge.observe(&Observation::of(busy()).with_adverse_keys("failures", &adverse));
    assert_eq!(judge.verdict(), Verdict::Degraded);
}

#[test]
fn harm_below_the_floor_is_not_degraded() {
    let mut judge = judge([Monitor::failures().per_key()]);
    judge.observe(
        &Observation::of(snapshot(TEN, calls(900_000, 0), calls(99_990, 10)))
            .with_adverse_keys("failures", &keys(TEN, 0, 0, 10))
            .with_seen_keys("failures", &keys(TEN, 0, 450_000, 50_000)),
    );
    let finding = &judge.judgment().findings[0];
    assert!(judge.evidence("failures").unwrap().log_e_worse_relative() > finding.worse.threshold);
    assert_ne!(finding.verdict, Verdict::Degraded);
}

#[test]
fn adverse_keys_alone_are_inconclusive() {
    let mut judge = judge([Monitor::failures().per_key()]);
    judge.observe(&Observation::default().with_adverse_keys("failures", &keys(TEN, 0, 0, 12)));
    assert_eq!(
        judge.judgment().to_string(),
        "inconclusive in `failures`: 12 canary keys affected, but neither canary calls nor seen keys are \
         known",
    );
}

#[test]
fn a_canary_that_hangs_is_detected_by_its_calls() {
    let none = KeyLedger::new(1).take();
    let seen = keys(TEN, 0, 18_000, 2_000);
    let judged = |calls: Observation| {
        let mut judge = judge([Monitor::failures().per_key()]);
        judge
            .observe(&calls.with_adverse_keys("failures", &none).with_seen_keys("failures", &seen));
        judge.judgment()
    };
    let mut canary = calls(9_000, 0);
    canary.picked = 10_000;
    let hanging = judged(Observation::of(snapshot(TEN, calls(90_000, 0), canary)));
    assert_eq!(hanging.verdict, Verdict::Inconclusive);

    let unknown = judged(Observation::default());
    assert_eq!(unknown.verdict, Verdict::Inconclusive);
    assert_eq!(unknown.findings[0].not_healthy_reason, Some(NotHealthyReason::CallsUnknown));
}

#[test]
fn missing_keys_prevent_healthy() {
    let orders = || Monitor::event("order").per_key();
    let judged = |canary| {
        let mut judge = judge([orders()]);
        judge.observe(
            &Observation::default()
                .with_adverse_keys("order", &keys(TEN, 0, 90, 0))
                .with_seen_keys("order", &keys(TEN, 0, 9_000, canary)),
        );
        judge.verdict()
    };
    assert_eq!(judged(1_000), Verdict::Healthy);
    assert_eq!(judged(20), Verdict::Inconclusive);
}

#[test]
fn a_key_on_an_impossible_channel_breaks_the_share() {
    let mut ledger = KeyLedger::new(10);
    ledger.record(1, Channel::Canary, Weight::from_percent(1));
    ledger.record(1, Channel::Stable, TEN);
    let counts = ledger.take();
    let monitors = [Monitor::failures().per_key(), Monitor::share().per_key()];
    let mut judge = judge(monitors);
    judge.observe(&healthy_calls().with_seen_keys("share", &counts));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    assert_eq!(judgment.decisive().unwrap().monitor, "share");
    assert!(judgment.findings[1].worse.e_value().is_finite());

    judge.observe(&Observation::default().with_adverse_keys("failures", &counts));
    assert_eq!(
        judge.judgment().findings[0].not_healthy_reason,
        Some(NotHealthyReason::ImpossibleAssignment(1))
    );
}

#[test]
fn keys_with_calls_beyond_stables_quantile_are_degraded() {
    let slow = Monitor::slow(Until::Head, SlowLimit::stable_quantile(0.99).unwrap());
    let mut judge = judge([slow.per_key().with_warm_up(Duration::ZERO)]);
    let name = "slow head p99";
    assert_eq!(judge.slow_bucket(name, Channel::Canary), None, "stable has no calls yet");
    let mut stable = calls(90_000, 0);
    stable.head.add(LatencyBucket::of(Duration::from_millis(1)), 90_000);
    let none = KeyLedger::new(1).take();
    judge.observe(
        &Observation::of(snapshot(TEN, stable, calls(10_000, 0)))
            .with_adverse_keys(name, &none)
            .with_seen_keys(name, &keys(TEN, 0, 90, 10)),
    );
    let limit = judge.slow_bucket(name, Channel::Canary).unwrap();
    assert!(LatencyBucket::of(Duration::from_millis(300)) > limit);

    let slow_users = keys(TEN, 0, 1, 10);
    judge.observe(&healthy_calls().with_adverse_keys(name, &slow_users));
    assert_eq!(judge.verdict(), Verdict::Degraded);
}

#[test]
fn a_monitor_of_calls_without_a_key_decides_but_need_not_be_healthy() {
    let monitors = || [Monitor::failures().per_key(), Monitor::failures().without_key()];
    let seen = keys(TEN, 0, 18_000, 2_000);
    let healthy = || {
        healthy_calls()
            .with_adverse_keys("failures", &KeyLedger::new(1).take())
            .with_seen_keys("failures", &seen)
    };
    let mut without = judge(monitors());
    without.observe(&healthy());
    assert_eq!(without.verdict(), Verdict::Healthy, "{}", without.judgment());

    let unkeyed = |channel, calls| {
        let mut ledger = KeyLedger::new(1);
        (0..calls)
            .for_each(|_| assert_eq!(ledger.record_without_key(channel, TEN), Recorded::Counted));
        ledger.take()
    };
    let mut failing = judge(monitors());
    failing.observe(
        &healthy()
            .with_adverse_keys("failures without a key", &unkeyed(Channel::Canary, 20))
            .with_seen_keys("failures without a key", &unkeyed(Channel::Canary, 100)),
    );
    let judgment = failing.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    assert!(judgment.to_string().contains("20 of 100 canary calls affected (20%)"), "{judgment}");
}

#[test]
fn feedback_can_be_counted_per_key() {
    let mut judge = judge([Monitor::feedback().per_key()]);
    judge.observe(
        &Observation::default()
            .with_feedback(ticks([900, 100], [0, 0]))
            .with_adverse_keys("feedback", &keys(TEN, 0, 9, 40))
            .with_seen_keys("feedback", &keys(TEN, 0, 900, 100)),
    );
    assert_eq!(judge.verdict(), Verdict::Degraded);
}
