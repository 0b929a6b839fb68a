//! The sentences of findings.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::time::Duration;

use canary_analysis::{
    Judge, Judgment, Monitor, Observation, SlowLimit, Until, judgment::GoodBy, keys::KeyLedger,
};
use canary_core::{Channel, Snapshot, Verdict, Weight};

use self::support::{TEN, at, calls, judge, judge_after, judged, snapshot, ticks};

mod support;

const ONE: Weight = Weight::from_percent(1);
const HALF: Weight = Weight::from_percent(50);

#[test]
fn margins_and_limits_have_few_digits() {
    let slow = Monitor::slow(Until::Head, SlowLimit::stable_quantile(0.99).unwrap())
        .with_warm_up(Duration::ZERO);
    let mut judge = judge([slow]);
    let stable = at(&[(10, 9_000)], calls(9_000, 0));
    let canary = at(&[(10, 1_000)], calls(1_000, 0));
    for _ in 0..2 {
        judge.observe(&Observation::of(snapshot(TEN, stable.clone(), canary.clone())));
    }
    let text = judge.judgment().to_string();
    assert!(text.contains("take over 21.0ms, 0% of stable's over 10.5ms"), "{text}");
    assert!(text.contains("proven below 1.98% (odds"), "{text}");
}

#[test]
fn a_stable_too_slow_for_the_histogram_is_reported() {
    let slow = Monitor::slow(Until::Head, SlowLimit::stable_quantile(0.5).unwrap());
    let stable = at(&[(100_000, 9_000)], calls(9_000, 0));
    let text = judged(slow, snapshot(TEN, stable, calls(0, 0))).to_string();
    assert!(text.ends_with("stable has too few calls, or they are too slow to measure"), "{text}");
}

#[test]
fn a_stable_without_calls_has_no_rate() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(0, 0), calls(0, 5)));
    assert_eq!(judgment.verdict, Verdict::Degraded);
    let text = judgment.to_string();
    assert!(text.contains(": 5 of 5 canary calls failed, stable has no calls; odds"), "{text}");
}

#[test]
fn one_is_singular() {
    let waiting = |calls| {
        let mut canary = support::calls(0, 0);
        canary.picked = calls;
        judged(Monitor::failures(), snapshot(TEN, support::calls(9, 0), canary)).to_string()
    };
    let text = "no response to 1 canary call yet, stable has 9 responses";
    assert_eq!(waiting(1), format!("inconclusive in `failures`: {text}"));
    assert!(waiting(2).contains("no response to 2 canary calls"));

    let impossible = |picks| {
        let snapshot = snapshot(Weight::ZERO, calls(9, 0), calls(picks, 0));
        judged(Monitor::failures(), snapshot).to_string()
    };
    assert!(impossible(1).ends_with("1 call or key went to a channel that its weight excludes"));
    assert!(
        impossible(2).ends_with("2 calls or keys went to a channel that their weight excludes")
    );
}

#[test]
fn feedback_and_events_have_their_own_words() {
    let mut judge = judge([Monitor::feedback(), Monitor::event("order")]);
    let texts = |judge: &Judge| {
        let findings = judge.judgment().findings;
        findings.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(
        texts(&judge),
        ["no feedback yet on either channel", "no events yet on either channel"],
    );
    let of_stable = ticks([5, 0], [1, 0]);
    judge.observe(&Observation::default().with_feedback(of_stable).with_event("order", of_stable));
    assert_eq!(
        texts(&judge),
        ["no canary feedback yet, stable has 5", "no canary events yet, stable has 5"],
    );
}

#[test]
fn more_adverse_than_seen_keys_give_no_rate() {
    let mut judge = judge([Monitor::failures().per_key()]);
    let (mut adverse, mut seen) = (KeyLedger::new(10), KeyLedger::new(1));
    for key in 0..3 {
        adverse.record(key, Channel::Canary, TEN);
        seen.record(key, Channel::Canary, TEN);
    }
    let calls = snapshot(TEN, calls(27, 0), calls(0, 3));
    judge.observe(
        &Observation::of(calls)
            .with_adverse_keys("failures", &adverse.take())
            .with_seen_keys("failures", &seen.take()),
    );
    let text = judge.judgment().to_string();
    assert!(text.contains(": 3 canary keys affected, 0 stable keys;"), "{text}");
}

#[test]
fn a_share_of_keys_is_about_keys() {
    let mut judge = judge([Monitor::failures(), Monitor::share().per_key()]);
    let nothing = "no keys yet that could go to either channel; ";
    assert!(judge.judgment().findings[1].to_string().starts_with(nothing));
    let mut seen = KeyLedger::new(10);
    seen.record(1, Channel::Canary, TEN);
    judge.observe(&Observation::default().with_seen_keys("share", &seen.take()));
    let text = "100% of keys went to the canary, 10% requested; ";
    assert!(judge.judgment().findings[1].to_string().starts_with(text));
}

#[test]
fn rates_are_compared_at_the_same_weights() {
    // At 1 % both fail 10 %. Later, at 50 %, the canary fails 1.1 % and stable 0.4 %.
    let mut judge = judge([Monitor::failures()]);
    judge.observe(&Observation::of(snapshot(ONE, calls(8_910, 990), calls(90, 10))));
    judge.observe(&Observation::of(snapshot(HALF, calls(9_960, 40), calls(9_890, 110))));
    let judgment = judge.judgment();
    assert_eq!(
        judgment.to_string(),
        "degraded by `failures`: canary fails 1.2% of calls, stable 0.5% at the same weights; odds \
         against chance 52,000 : 1",
    );
    let finding = &judgment.findings[0];
    let expected = (100.0 * 0.1 + 10_000.0 * 0.004) / 10_100.0;
    assert!((finding.stable_rate_at_canary_weights.unwrap() - expected).abs() < 1e-12);
    assert!(finding.rate(Channel::Stable).unwrap() > 0.05, "pooled, it contradicts the verdict");
}

#[test]
fn few_calls_are_counted() {
    let text =
        |stable, canary| judged(Monitor::failures(), snapshot(TEN, stable, canary)).to_string();
    assert_eq!(
        text(calls(51, 0), calls(2, 0)),
        "inconclusive in `failures`: 0 of 2 canary calls failed, 0 of 51 of stable's; no sign of harm; \
         proof of good stands at 1 of 20, about 830 more canary calls",
    );
    assert_eq!(
        text(calls(900, 0), calls(99, 1)),
        "inconclusive in `failures`: canary fails 1% of calls, stable 0%; proof of harm stands at 2 of \
         100; proof of good stands at 0.4 of 20",
    );
}

/// Judges the failures of a service that fails 1 % of calls, as is known from before the rollout.
fn judged_after_calm(difference: Snapshot) -> Judgment {
    let mut judge = judge_after(&calls(990, 10), [Monitor::failures()]);
    judge.observe(&Observation::of(difference));
    judge.judgment()
}

#[test]
fn the_sentence_names_the_proof_that_held() {
    let by_rate = judged(Monitor::failures(), snapshot(TEN, calls(9_000, 0), calls(1_000, 0)));
    assert!(by_rate.to_string().ends_with("; proven below 0.5% (odds 42 : 1)"), "{by_rate}");
    assert_eq!(by_rate.findings[0].good_by, Some(GoodBy::Rate));

    let by_ratio = judged_after_calm(snapshot(TEN, calls(44_325, 675), calls(4_925, 75)));
    let text = by_ratio.to_string();
    assert!(text.contains("; proven below 2 times stable's rate (odds "), "{text}");
    assert_eq!(by_ratio.findings[0].good_by, Some(GoodBy::Ratio));
}

/// The estimate is exact if the rates stay as they are.
#[test]
fn the_missing_calls_lead_to_the_proof() {
    let counts = |times: u64| {
        snapshot(TEN, calls(times * 8_910, times * 90), calls(times * 990, times * 10))
    };
    let finding = judged_after_calm(counts(1)).findings.remove(0);
    let missing = finding.missing_calls.unwrap();
    let needed = missing.div_ceil(1_000) + 1;
    let good = |times| judged_after_calm(counts(times)).findings[0].good.unwrap();
    assert!(good(needed).is_reached() && !good(needed - 1).is_reached(), "{missing}");
    // A canary that fails three times as often is never proven good.
    let worse = judged_after_calm(snapshot(TEN, calls(8_910, 90), calls(970, 30)));
    assert_eq!(worse.findings[0].missing_calls, None);
}

#[test]
fn a_canary_that_hangs_says_so() {
    let mut canary = calls(700, 0);
    canary.picked = 1_000;
    let text = judged(Monitor::failures(), snapshot(TEN, calls(9_000, 0), canary)).to_string();
    let hangs = "; 30% of the canary's calls have no answer yet, all of stable's have one: it hangs, or \
                 answers later";
    assert!(text.ends_with(hangs), "{text}");
}

#[test]
fn a_healthy_sentence_names_the_failures_first() {
    let mut judge = judge([Monitor::cancelled(), Monitor::failures()]);
    judge.observe(&Observation::of(snapshot(TEN, calls(90_000, 0), calls(10_000, 0))));
    let text = judge.judgment().to_string();
    assert!(text.starts_with("healthy in all monitors, among them `failures`: "), "{text}");
}

#[test]
fn a_share_of_few_users_has_a_hint() {
    let mut judge = judge([Monitor::failures(), Monitor::share().per_key()]);
    let mut seen = KeyLedger::new(1_000);
    (0..100).for_each(|key| {
        seen.record(key, Channel::Canary, TEN);
    });
    judge.observe(&Observation::default().with_seen_keys("share", &seen.take()));
    let text = judge.judgment().to_string();
    assert!(
        text.ends_with("the assignment is broken; odds against chance beyond 10^12 : 1"),
        "{text}"
    );
}
