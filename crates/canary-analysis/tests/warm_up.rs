//! The first calls of a cold canary are left out of the comparison.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::time::Duration;

use canary_analysis::{Judge, Monitor, Observation, SlowLimit, Until, judgment::NotHealthyReason};
use canary_core::{Verdict, Weight};

use self::support::{TEN, at, calls, judge, snapshot};

mod support;

fn warm(seconds: u64) -> Monitor {
    Monitor::failures().with_warm_up(Duration::from_secs(seconds))
}

/// Adds a second with 90 calls of stable and these of the canary.
fn second(judge: &mut Judge, success: u64, failure: u64) -> Verdict {
    judge.observe(&Observation::of(snapshot(TEN, calls(90, 0), calls(success, failure))));
    judge.verdict()
}

#[test]
fn failures_of_a_cold_canary_are_left_out() {
    let mut judge = judge([warm(60)]);
    for _ in 0..60 {
        assert_eq!(second(&mut judge, 7, 3), Verdict::Inconclusive);
    }
    let finding = judge.judgment().findings.remove(0);
    assert_eq!((finding.calls.canary, finding.warm_up_left), (0, None));
    // From then on, as many calls prove the canary good as without a warm-up.
    let seconds = (1..).find(|_| second(&mut judge, 10, 0) == Verdict::Healthy);
    assert_eq!(seconds, Some(84));
}

#[test]
fn both_channels_are_left_out() {
    let mut judge = judge([warm(10)]);
    for _ in 0..10 {
        judge.observe(&Observation::of(snapshot(TEN, calls(60, 30), calls(10, 0))));
    }
    let finding = judge.judgment().findings.remove(0);
    assert_eq!((finding.calls.stable, finding.adverse.stable), (0, 0));
    assert!(finding.good.unwrap().log_e.abs() < 1e-12, "stable's failures would favor the canary");
}

#[test]
fn a_canary_that_fails_every_call_trips_the_brake_with_about_ten() {
    let mut judge = judge([warm(120), Monitor::cancelled(), Monitor::share()]);
    let failures = (1..).find(|_| {
        judge.observe(&Observation::of(snapshot(TEN, calls(9, 0), calls(0, 1))));
        judge.verdict() == Verdict::Degraded
    });
    assert_eq!(failures, Some(11));
    let text = "degraded by `failures`: 11 of 11 canary calls failed, 0 of 99 of stable's; odds";
    assert!(judge.judgment().to_string().starts_with(text), "{}", judge.judgment());
}

#[test]
fn an_outage_of_both_channels_does_not_trip_the_brake() {
    let mut judge = judge([warm(120)]);
    for _ in 0..60 {
        judge.observe(&Observation::of(snapshot(TEN, calls(0, 90), calls(0, 10))));
        assert_eq!(judge.verdict(), Verdict::Inconclusive);
    }
}

#[test]
fn the_guard_trips_at_the_brake_and_not_before() {
    let live = std::sync::Mutex::new(snapshot(TEN, calls(0, 0), calls(0, 0)));
    let judge = judge([warm(120)]);
    let guard = judge.guard(live.lock().unwrap().clone(), || live.lock().unwrap().clone()).unwrap();
    let failures = (1..=20).find(|failures| {
        live.lock().unwrap().epochs[0].counts.evidence.canary = calls(0, *failures);
        guard.canary_failed(TEN).is_some()
    });
    assert_eq!(failures, Some(11));
}

#[test]
fn slow_calls_have_a_warm_up_of_two_minutes_and_failures_none() {
    let slow = || Monitor::slow(Until::Head, SlowLimit::fixed(Duration::from_millis(50)).unwrap());
    assert_eq!(slow().warm_up(), Duration::from_secs(120));
    for monitor in [Monitor::failures(), Monitor::cancelled(), Monitor::feedback()] {
        assert_eq!(monitor.warm_up(), Duration::ZERO);
    }
    for monitor in [Monitor::share(), Monitor::unanswered()] {
        assert_eq!(monitor.with_warm_up(Duration::from_secs(9)).warm_up(), Duration::ZERO);
    }
    let mut judge = judge([Monitor::failures(), slow()]);
    let cold = || {
        Observation::of(snapshot(
            TEN,
            at(&[(10, 90)], calls(90, 0)),
            at(&[(10, 6), (60, 4)], calls(10, 0)),
        ))
    };
    for _ in 0..12 {
        judge.observe(&cold().with_duration(Duration::from_secs(10)));
        assert_eq!(judge.verdict(), Verdict::Inconclusive);
    }
    let seconds = (1..).find(|_| {
        judge.observe(&cold());
        judge.verdict() == Verdict::Degraded
    });
    assert!(seconds.unwrap() <= 3, "{seconds:?}");
}

#[test]
fn a_warm_up_begins_with_the_first_call_of_the_canary() {
    let mut judge = judge([warm(60)]);
    for _ in 0..100 {
        judge.observe(&Observation::of(snapshot(Weight::ZERO, calls(100, 0), calls(0, 0))));
    }
    assert_eq!(judge.judgment().warm_up_left(), None);
    second(&mut judge, 10, 0);
    let judgment = judge.judgment();
    assert_eq!(judgment.warm_up_left(), Some(Duration::from_secs(59)));
    assert_eq!(
        judgment.findings[0].not_healthy_reason,
        Some(NotHealthyReason::WarmingUp(Duration::from_secs(59)))
    );
    assert_eq!(
        judgment.to_string(),
        "inconclusive in `failures`: 0 of 10 canary calls failed, 0 of 90 of stable's; no sign of harm; the \
         canary is warming up, its calls count in 59s",
    );
}

#[test]
fn the_judgment_names_a_warm_up_of_another_monitor() {
    let limit = SlowLimit::fixed(Duration::from_millis(50)).unwrap();
    let mut judge = judge([Monitor::failures(), Monitor::slow(Until::Head, limit)]);
    let counts = || (at(&[(10, 9_000)], calls(8_910, 90)), at(&[(10, 1_000)], calls(985, 15)));
    let (stable, canary) = counts();
    judge.observe(
        &Observation::of(snapshot(TEN, stable, canary)).with_duration(Duration::from_secs(30)),
    );
    let text = judge.judgment().to_string();
    assert!(text.starts_with("inconclusive in `failures`: "), "{text}");
    assert!(text.ends_with("; `slow head 50.3ms` warms up for 90s more"), "{text}");
}

#[cfg(feature = "serde")]
#[test]
fn a_restored_judge_continues_the_warm_up() {
    use canary_analysis::{JudgeState, Levels};

    let mut judge = judge([warm(60)]);
    for _ in 0..20 {
        second(&mut judge, 5, 5);
    }
    let stored: JudgeState =
        serde_json::from_str(&serde_json::to_string(&judge.state()).unwrap()).unwrap();
    let mut restored = Judge::try_resume(Levels::default(), [warm(60)], &stored).unwrap();
    assert_eq!(restored.judgment().warm_up_left(), Some(Duration::from_secs(40)));
    for _ in 0..41 {
        assert_eq!(second(&mut judge, 5, 5), second(&mut restored, 5, 5));
        assert_eq!(judge.state(), restored.state());
    }
    assert_eq!(judge.verdict(), Verdict::Degraded);
    let other = Judge::try_resume(Levels::default(), [warm(90)], &stored).unwrap_err();
    assert!(other.to_string().contains("has another measure"), "{other}");
}

/// Stable's calls take 10 ms, and those of the cold canary 30 ms.
#[test]
fn a_cold_canary_whose_calls_are_all_slower_than_stables_is_not_stopped() {
    for quantile in [0.5, 0.9, 0.99] {
        let limit = SlowLimit::stable_quantile(quantile).unwrap();
        let mut judge = judge([Monitor::failures(), Monitor::slow(Until::Head, limit)]);
        let look = |canary_ms| {
            let canary = at(&[(canary_ms, 10)], calls(10, 0));
            Observation::of(snapshot(TEN, at(&[(10, 90)], calls(90, 0)), canary))
        };
        for second in 0..120 {
            judge.observe(&look(30));
            assert_eq!(judge.verdict(), Verdict::Inconclusive, "{quantile} after {second} s");
        }
        let mut still_slow = judge.clone();
        assert!((0..10).any(|_| {
            still_slow.observe(&look(30));
            still_slow.verdict() == Verdict::Degraded
        }));
        for _ in 0..600 {
            judge.observe(&look(10));
        }
        assert_eq!(judge.verdict(), Verdict::Healthy, "{quantile}");
    }
}
