//! Healthy is a proof: a canary of which too little is seen is never called so.

#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::time::Duration;

use canary_analysis::{Monitor, NotHealthyReason, Observation, SlowLimit, Until};
use canary_core::{ChannelCounts, Verdict, Weight};

use self::support::{TEN, at, calls, judge, judged, snapshot, ticks};

mod support;

/// Answered calls, and others that are in flight.
fn hanging(success: u64, failure: u64, in_flight: u64) -> ChannelCounts {
    let mut counts = calls(success, failure);
    counts.picked += in_flight;
    counts
}

/// Guarantee G3.
#[test]
fn a_canary_that_hangs_is_not_healthy() {
    // One call of 1,000 is answered. Stable's failures alone would prove it good.
    let stable = || calls(8_900, 100);
    let judgment = judged(Monitor::failures(), snapshot(TEN, stable(), hanging(1, 0, 999)));
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert_eq!(judgment.findings[0].unanswered.canary, 999);
    let text = "; the canary has only 0.1 % of what the weight leads one to expect";
    assert!(judgment.to_string().ends_with(text), "{judgment}");

    let mut gone = calls(1, 0);
    (gone.picked, gone.cancelled) = (1_000, 999);
    let judgment = judged(Monitor::failures(), snapshot(TEN, stable(), gone));
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    // No matter which monitor one believes.
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
fn a_canary_of_which_no_call_is_answered_is_told_of_as_such() {
    let judgment = judged(Monitor::failures(), snapshot(TEN, calls(270, 0), hanging(0, 0, 30)));
    assert_eq!(
        judgment.to_string(),
        "inconclusive in `failures`: of 30 calls on the canary none is answered yet, 270 of stable's are",
    );
}

/// Nine in ten calls answered is the most that the share of answers can tell by itself.
#[test]
fn a_canary_that_hangs_in_one_call_of_fifty_is_not_healthy() {
    let stable = || calls(89_100, 900);
    let judgment = judged(Monitor::failures(), snapshot(TEN, stable(), hanging(9_700, 100, 200)));
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    let unanswered = NotHealthyReason::Unanswered { calls: 200, given: 10_000 };
    assert_eq!(judgment.findings[0].not_healthy_reason, Some(unanswered));
    // As the guide has it.
    assert_eq!(
        judgment.to_string(),
        "inconclusive in `failures`: canary fails 1 % of calls against stable's 1 %; not proven worse \
         (odds 0.012 : 1 of 100 : 1), nor good enough (odds under 0.001 : 1 of 20 : 1); 200 of 10,000 \
         calls of the canary have no answer, and could all have gone badly",
    );

    // A few in flight are not held against it.
    let judgment = judged(Monitor::failures(), snapshot(TEN, stable(), hanging(9_897, 100, 3)));
    assert_eq!(judgment.verdict, Verdict::Healthy);
}

#[test]
fn long_streams_of_both_channels_are_not_held_against_the_canary() {
    let stable = hanging(44_550, 450, 45_000);
    let judgment = judged(Monitor::failures(), snapshot(TEN, stable, hanging(4_950, 50, 5_000)));
    assert_eq!(judgment.verdict, Verdict::Healthy);
}

#[test]
fn answers_of_a_later_observation_settle_calls_of_an_earlier_one() {
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
fn answers_without_the_calls_that_were_picked_prove_nothing() {
    let (mut stable, mut canary) = (calls(9_000, 0), calls(1_000, 0));
    (stable.picked, canary.picked) = (0, 0);
    let judgment = judged(Monitor::failures(), snapshot(TEN, stable, canary));
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert_eq!(judgment.findings[0].not_healthy_reason, Some(NotHealthyReason::CallsUnknown));
}

#[test]
fn feedback_that_the_canary_should_have_and_has_not_is_missed() {
    let judged = |canary| {
        let mut judge = judge([Monitor::feedback()]);
        judge.observe(&Observation::default().with_feedback(ticks([9_000, canary], [900, 0])));
        judge.verdict()
    };
    assert_eq!(judged(1_000), Verdict::Healthy);
    assert_eq!(judged(100), Verdict::Inconclusive);
}

#[test]
fn a_call_where_none_could_be_forbids_to_trust_the_comparison() {
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

/// The verdict on a canary of which this part is slower than stable's quantile, as stable's calls are
/// by definition, or hardly any of them if they lie well below an edge.
fn of_slow(quantile: f64, of_stable: f64, of_canary: f64) -> Verdict {
    let limit = SlowLimit::stable_quantile(quantile).unwrap();
    let mut judge = judge([Monitor::slow(Until::Head, limit)]);
    for _ in 0..20 {
        let timed = |all: u64, slow: f64| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "small")]
            let slow = (f64::from(u32::try_from(all).unwrap()) * slow).round() as u64;
            at(&[(10, all - slow), (100, slow)], calls(all, 0))
        };
        let (stable, canary) = (timed(18_000, of_stable), timed(2_000, of_canary));
        judge.observe(&Observation::of(snapshot(TEN, stable, canary)));
    }
    assert_eq!(judge.judgment().findings[0].calls.canary, 38_000);
    judge.verdict()
}

#[test]
fn slow_canaries_are_degraded_whatever_the_quantile_and_equal_ones_healthy() {
    for (quantile, slower, hardly) in [(0.5, 0.75, 0.65), (0.9, 0.3, 0.16), (0.99, 0.04, 0.024)] {
        let of_stable = 1.0 - quantile - 0.002;
        assert_eq!(of_slow(quantile, of_stable, of_stable), Verdict::Healthy, "p {quantile}");
        assert_eq!(of_slow(quantile, of_stable, slower), Verdict::Degraded, "p {quantile}");
        assert_eq!(of_slow(quantile, of_stable, 1.0), Verdict::Degraded, "p {quantile}");
        assert_eq!(of_slow(quantile, of_stable, hardly), Verdict::Degraded, "p {quantile}");
        // Stable has none beyond the edge, and the canary many.
        assert_eq!(of_slow(quantile, 0.0005, 0.05), Verdict::Degraded, "p {quantile}");
    }
}

#[test]
fn among_streams_a_few_calls_that_hang_go_unnoticed() {
    let verdict = |canary_in_flight: u64| {
        let (mut stable, mut canary) = (calls(62_370, 630), calls(9_900, 100));
        stable.picked = 90_000;
        canary.picked = 10_000;
        canary.success -= canary_in_flight;
        judged(Monitor::failures(), snapshot(TEN, stable, canary)).verdict
    };
    assert_eq!(verdict(3_000), Verdict::Healthy);
    assert_eq!(verdict(3_600), Verdict::Healthy);
    assert_eq!(verdict(3_800), Verdict::Inconclusive);
}
