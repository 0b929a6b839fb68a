//! The sentences of findings.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use canary_analysis::{Judge, Monitor, Observation, SlowLimit, Until, keys::KeyLedger};
use canary_core::{Channel, Verdict, Weight};

use self::support::{TEN, at, calls, judge, judged, snapshot, ticks};

mod support;

#[test]
fn margins_and_limits_have_few_digits() {
    let slow = Monitor::slow(Until::Head, SlowLimit::stable_quantile(0.99).unwrap());
    let mut judge = judge([slow]);
    let stable = at(&[(10, 9_000)], calls(9_000, 0));
    let canary = at(&[(10, 1_000)], calls(1_000, 0));
    for _ in 0..2 {
        judge.observe(&Observation::of(snapshot(TEN, stable.clone(), canary.clone())));
    }
    let text = judge.judgment().to_string();
    assert!(text.contains("take over 10.5ms, stable 0 %"), "{text}");
    assert!(text.contains("proven below 1.98 times stable's rate or below 1.98 %"), "{text}");
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
    assert!(text.contains("canary fails 100 % of calls, stable has no calls; odds"), "{text}");
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
    let text = "100 % of keys went to the canary, 10 % requested; ";
    assert!(judge.judgment().findings[1].to_string().starts_with(text));
}
