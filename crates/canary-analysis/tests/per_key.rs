//! Sticky traffic: what is counted per key.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use canary_analysis::{KeyCounts, KeyLedger, Monitor, NotHealthyReason, Observation};
use canary_core::{Channel, PerChannel, Verdict, Weight};

use self::support::{TEN, calls, judge, snapshot, ticks};

mod support;

/// Keys from `first` on, so many on each channel.
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
    assert!(judgment.to_string().contains("1 key hit on the canary, 0 keys on stable"));
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
            .with_adverse_keys("failures", &ledger.take()),
    );
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    let told = "the ledger of keys is full, 2 events were not counted";
    assert!(judgment.to_string().ends_with(told));
}

#[test]
fn a_checkout_that_is_broken_for_every_key_is_not_healed_by_other_traffic() {
    let of_checkout = || Monitor::failures().per_key().of_class("checkout");
    let name = "failures of checkout";
    let checkout = || snapshot(TEN, calls(180, 0), calls(0, 20));
    let everywhere = keys(TEN, 0, 18_000, 2_000);

    // Seen keys of all calls are another monitor's.
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
            .contains("20 of 20 keys (100 %) hit on the canary, 0 of 180 keys (0 %) on stable")
    );
}

#[test]
fn keys_that_were_seen_are_no_proof_without_the_keys_that_were_hit() {
    let seen = keys(TEN, 0, 18_000, 2_000);
    let mut judge = judge([Monitor::failures().per_key()]);
    let misspelt = healthy_calls().with_adverse_keys("failurs", &keys(TEN, 0, 0, 2));
    judge.observe(&misspelt.with_seen_keys("failures", &seen));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert!(judgment.to_string().ends_with("watched by no monitor: keys for `failurs`"));

    let nobody = KeyLedger::new(1).take();
    let mut judge = support::judge([Monitor::failures().per_key()]);
    judge.observe(
        &healthy_calls().with_adverse_keys("failures", &nobody).with_seen_keys("failures", &seen),
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
    assert!(
        judgment.to_string().ends_with("; the ledger of keys is full, 1 event was not counted")
    );
}

#[test]
fn a_few_calls_of_each_key_are_not_so_many_keys() {
    // Every user of the canary's is hit once, and makes 2,000 calls that go well.
    let hit = keys(TEN, 0, 0, 20);
    let busy = || snapshot(TEN, calls(360_000, 0), calls(39_980, 20));
    let mut judge = judge([Monitor::failures().per_key()]);
    judge.observe(
        &Observation::of(busy())
            .with_adverse_keys("failures", &hit)
            .with_seen_keys("failures", &keys(TEN, 0, 180, 20)),
    );
    assert_eq!(judge.verdict(), Verdict::Degraded);

    // If no keys are known to have been seen, the comparison of the channels decides alone.
    let mut judge = support::judge([Monitor::failures().per_key()]);
    judge.observe(&Observation::of(busy()).with_adverse_keys("failures", &hit));
    assert_eq!(judge.verdict(), Verdict::Degraded);
}

#[test]
fn harm_to_fewer_keys_than_anybody_cares_for_is_not_degraded() {
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
fn a_judge_that_is_told_of_hit_keys_only_says_what_it_misses() {
    let mut judge = judge([Monitor::failures().per_key()]);
    judge.observe(&Observation::default().with_adverse_keys("failures", &keys(TEN, 0, 0, 12)));
    assert_eq!(
        judge.judgment().to_string(),
        "inconclusive in `failures`: 12 keys hit on the canary, but neither its calls nor seen keys \
         are known",
    );
}

#[test]
fn a_canary_that_hangs_does_not_show_in_keys_but_in_calls() {
    let nobody = KeyLedger::new(1).take();
    let seen = keys(TEN, 0, 18_000, 2_000);
    let judged = |calls: Observation| {
        let mut judge = judge([Monitor::failures().per_key()]);
        judge.observe(
            &calls.with_adverse_keys("failures", &nobody).with_seen_keys("failures", &seen),
        );
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
fn keys_that_the_canary_should_have_and_has_not_are_missed() {
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
fn a_key_on_a_channel_that_its_bucket_excludes_breaks_the_share() {
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
fn feedback_of_keys_is_compared_like_that_of_calls() {
    let mut judge = judge([Monitor::feedback().per_key()]);
    judge.observe(
        &Observation::default()
            .with_feedback(ticks([900, 100], [0, 0]))
            .with_adverse_keys("feedback", &keys(TEN, 0, 9, 40))
            .with_seen_keys("feedback", &keys(TEN, 0, 900, 100)),
    );
    assert_eq!(judge.verdict(), Verdict::Degraded);
}
