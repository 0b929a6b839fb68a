//! A healthy verdict is a proof. Missing data prevents it.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::time::Duration;

use canary_analysis::{Monitor, Observation, SlowLimit, Until, judgment::NotHealthyReason};
use canary_core::{ChannelCounts, Verdict, Weight};

use self::support::{TEN, at, calls, judge, judge_after, judged, snapshot, ticks};

mod support;

/// Calls with a response, and calls in flight.
fn hanging(success: u64, failure: u64, in_flight: u64) -> ChannelCounts {
    let mut counts = calls(success, failure);
    counts.picked += in_flight;
    counts
}

/// Guarantee G3.
#[test]
fn a_canary_that_hangs_is_not_healthy() {
    // One call of 1,000 has a response. Without the others, stable's failures would prove the
    // canary good.
    let stable = || calls(8_900, 100);
    let judgment = judged(Monitor::failures(), snapshot(TEN, stable(), hanging(1, 0, 999)));
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert_eq!(judgment.findings[0].unanswered.canary, 999);
    let text = "; 100% of the canary's calls have no answer yet, all of stable's have one: it hangs, or \
                answers later";
    assert!(judgment.to_string().ends_with(text), "{judgment}");

    let mut gone = calls(1, 0);
    (gone.picked, gone.cancelled) = (1_000, 999);
    let judgment = judged(Monitor::failures(), snapshot(TEN, stable(), gone));
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    // This holds for other monitors too.
    for monitor in [
        Monitor::cancelled(),
        Monitor::slow(Until::Head, SlowLimit::fixed(Duration::from_millis(50)).unwrap()),
    ] {
        let stable = at(&[(10, 8_900), (90, 100)], calls(9_000, 0));
        let canary = at(&[(10, 1)], hanging(1, 0, 999));
        assert_eq!(judged(monitor, snapshot(TEN, stable, canary)).verdict, Verdict::Inconclusive);
    }
}

#[test]
fn a_canary_without_any_response_is_reported() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(270, 0), hanging(0, 0, 30)));
    assert_eq!(
        judgment.to_string(),
        "inconclusive in `failures`: no response to 30 canary calls yet, stable has 270 responses",
    );
}

/// The completeness alone would allow up to one missing response in ten.
#[test]
fn a_canary_that_hangs_in_one_call_of_fifty_is_not_healthy() {
    let stable = || calls(89_100, 900);
    let judged = |canary| {
        let mut judge = judge_after(&calls(990, 10), [Monitor::failures()]);
        judge.observe(&Observation::of(snapshot(TEN, stable(), canary)));
        judge.judgment()
    };
    let judgment = judged(hanging(9_700, 100, 200));
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    let unanswered = NotHealthyReason::Unanswered { calls: 200, given: 10_000 };
    assert_eq!(judgment.findings[0].not_healthy_reason, Some(unanswered));
    // The guide quotes this sentence.
    assert_eq!(
        judgment.to_string(),
        "inconclusive in `failures`: canary fails 1% of calls, stable 1%; no sign of harm; \
         proof of good stands at under 0.001 of 20; 200 of 10,000 canary calls have no answer yet and may \
         all be bad",
    );

    // A few calls in flight do not prevent a healthy verdict.
    let judgment = judged(hanging(9_897, 100, 3));
    assert_eq!(judgment.verdict, Verdict::Healthy);
}

#[test]
fn long_streams_on_both_channels_do_not_prevent_healthy() {
    let stable = hanging(44_550, 450, 45_000);
    let mut judge = judge_after(&calls(990, 10), [Monitor::failures()]);
    judge.observe(&Observation::of(snapshot(TEN, stable, hanging(4_950, 50, 5_000))));
    assert_eq!(judge.verdict(), Verdict::Healthy);
}

#[test]
fn a_later_observation_brings_the_responses_to_earlier_calls() {
    let mut judge = judge([Monitor::failures()]);
    judge.observe(&Observation::of(snapshot(TEN, hanging(0, 0, 9_000), hanging(0, 0, 1_000))));
    assert_eq!(judge.verdict(), Verdict::Inconclusive);
    let (mut stable, mut canary) = (calls(9_000, 0), calls(1_000, 0));
    (stable.picked, canary.picked) = (0, 0);
    judge.observe(&Observation::of(snapshot(TEN, stable, canary)));
    assert_eq!(judge.verdict(), Verdict::Healthy);
    assert_eq!(judge.judgment().findings[0].unanswered.canary, 0);
}

#[test]
fn responses_without_picked_calls_prove_nothing() {
    let (mut stable, mut canary) = (calls(9_000, 0), calls(1_000, 0));
    (stable.picked, canary.picked) = (0, 0);
    let judgment = judged(Monitor::failures(), snapshot(TEN, stable, canary));
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert_eq!(judgment.findings[0].not_healthy_reason, Some(NotHealthyReason::CallsUnknown));
}

#[test]
fn missing_feedback_prevents_healthy() {
    let judged = |canary| {
        let mut judge = judge([Monitor::feedback()]);
        judge.observe(&Observation::default().with_feedback(ticks([9_000, canary], [900, 0])));
        judge.verdict()
    };
    assert_eq!(judged(1_000), Verdict::Healthy);
    assert_eq!(judged(100), Verdict::Inconclusive);
}

#[test]
fn an_impossible_call_prevents_healthy() {
    let mut judge = judge([Monitor::failures()]);
    judge.observe(&Observation::of(snapshot(TEN, calls(9_000, 0), calls(1_000, 0))));
    assert_eq!(judge.verdict(), Verdict::Healthy);
    judge.observe(&Observation::of(snapshot(Weight::ZERO, calls(9_000, 0), calls(1, 0))));
    assert_eq!(judge.verdict(), Verdict::Inconclusive);
    assert_eq!(
        judge.judgment().findings[0].not_healthy_reason,
        Some(NotHealthyReason::ImpossibleAssignment(1))
    );
}

/// Returns the verdict if these fractions of the calls are slow. Stable's fraction is about `1 -
/// quantile` by definition, or far less if its latencies are well below a bucket edge.
fn verdict_on_slow(quantile: f64, of_stable: f64, of_canary: f64) -> Verdict {
    let limit = SlowLimit::stable_quantile(quantile).unwrap();
    let monitor = Monitor::slow(Until::Head, limit).with_warm_up(Duration::ZERO);
    let timed = |all: u64, slow: f64| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
        let slow = (f64::from(u32::try_from(all).unwrap()) * slow).round() as u64;
        at(&[(10, all - slow), (100, slow)], calls(all, 0))
    };
    let mut judge = judge_after(&timed(20_000, of_stable), [monitor]);
    for _ in 0..20 {
        let (stable, canary) = (timed(18_000, of_stable), timed(2_000, of_canary));
        judge.observe(&Observation::of(snapshot(TEN, stable, canary)));
    }
    assert_eq!(judge.judgment().findings[0].calls.canary, 38_000);
    judge.verdict()
}

#[test]
fn slow_canaries_are_degraded_at_any_quantile_and_equal_ones_are_healthy() {
    for (quantile, slower, hardly) in [(0.5, 0.75, 0.65), (0.9, 0.3, 0.16), (0.99, 0.04, 0.024)] {
        let of_stable = 1.0 - quantile - 0.002;
        assert_eq!(
            verdict_on_slow(quantile, of_stable, of_stable),
            Verdict::Healthy,
            "p {quantile}"
        );
        assert_eq!(verdict_on_slow(quantile, of_stable, slower), Verdict::Degraded, "p {quantile}");
        assert_eq!(verdict_on_slow(quantile, of_stable, 1.0), Verdict::Degraded, "p {quantile}");
        assert_eq!(verdict_on_slow(quantile, of_stable, hardly), Verdict::Degraded, "p {quantile}");
        // Stable has almost no calls beyond the edge, and the canary has many.
        assert_eq!(verdict_on_slow(quantile, 0.0005, 0.05), Verdict::Degraded, "p {quantile}");
    }
}

#[test]
fn a_few_hanging_calls_among_streams_go_unnoticed() {
    let verdict = |canary_in_flight: u64| {
        let (mut stable, mut canary) = (calls(62_370, 630), calls(9_930, 70));
        stable.picked = 90_000;
        canary.picked = 10_000;
        canary.success -= canary_in_flight;
        let mut judge = judge_after(&calls(990, 10), [Monitor::failures()]);
        judge.observe(&Observation::of(snapshot(TEN, stable, canary)));
        judge.verdict()
    };
    assert_eq!(verdict(3_000), Verdict::Healthy);
    assert_eq!(verdict(3_600), Verdict::Healthy);
    assert_eq!(verdict(3_800), Verdict::Inconclusive);
}
