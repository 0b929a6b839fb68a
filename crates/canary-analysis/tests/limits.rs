//! Absolute limits: the canary is compared with a number, whatever stable does.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::time::Duration;

use canary_analysis::{
    Judge, Levels, Limit, Monitor, Observation, SlowLimit, Until, error::JudgeError,
};
use canary_core::{Verdict, Weight};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Binomial, Distribution};

use self::support::{TEN, at, calls, judge, judged, snapshot};

mod support;

fn three_nines() -> Monitor {
    Monitor::failures().at_most(Limit::rate(0.001).unwrap())
}

/// Guarantee G8.
#[test]
fn success_of_at_least_three_nines_is_judged_whatever_stable_does() {
    for (stable, canary, expected) in [
        (500, 30, Verdict::Degraded),
        (0, 30, Verdict::Degraded),
        (500, 1, Verdict::Healthy),
        (0, 1, Verdict::Healthy),
        (0, 10, Verdict::Inconclusive),
    ] {
        let difference = snapshot(TEN, calls(90_000 - stable, stable), calls(9_970, canary));
        let judgment = judged(three_nines(), difference);
        assert_eq!(judgment.verdict, expected, "{stable} {canary}: {judgment}");
    }
}

#[test]
fn a_limit_holds_at_full_weight_too() {
    for (failures, expected) in [(1, Verdict::Healthy), (30, Verdict::Degraded)] {
        let difference = snapshot(Weight::FULL, calls(0, 0), calls(9_970, failures));
        let judgment = judged(three_nines(), difference);
        assert_eq!(judgment.verdict, expected, "{judgment}");
    }
}

/// Guarantee G8.
#[test]
fn a_ninety_ninth_percentile_of_at_most_half_a_second_is_judged() {
    let over = SlowLimit::fixed(Duration::from_millis(500)).unwrap();
    let p99 = Monitor::slow(Until::Head, over).with_warm_up(Duration::ZERO);
    let p99 = p99.at_most(Limit::rate(0.01).unwrap());
    for (slow, expected) in [(0, Verdict::Healthy), (40, Verdict::Degraded)] {
        let stable = at(&[(900, 9_000)], calls(9_000, 0));
        let canary = at(&[(20, 1_000 - slow), (900, slow)], calls(1_000, 0));
        let judgment = judged(p99.clone(), snapshot(TEN, stable, canary));
        assert_eq!(judgment.verdict, expected, "{judgment}");
    }
}

/// Guarantee G8.
#[test]
fn the_error_rates_hold_at_the_limit() {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let binomial = Binomial::new(500, 0.01).unwrap();
    let limit = Limit::rate(0.01).unwrap();
    let (mut degraded, mut healthy) = (0, 0);
    for _ in 0..300 {
        let mut judge = judge([Monitor::failures().at_most(limit)]).with_restarts();
        let mut seen = Vec::new();
        for look in 0..60 {
            if look % 10 == 0 {
                judge.begin_step();
            }
            let failed = binomial.sample(&mut rng);
            let difference = snapshot(TEN, calls(4_500, 0), calls(500 - failed, failed));
            judge.observe(&Observation::of(difference));
            seen.push(judge.verdict());
        }
        degraded += usize::from(seen.contains(&Verdict::Degraded));
        healthy += usize::from(seen.contains(&Verdict::Healthy));
    }
    assert!(degraded <= 6, "{degraded} of 300 degraded, stated: 1 %");
    assert!(healthy <= 24, "{healthy} of 300 healthy, stated: 5 %");
}

#[test]
fn a_fault_after_a_good_hour_exceeds_the_limit_soon() {
    let mut judge = judge([three_nines()]).with_restarts();
    judge.observe(&Observation::of(snapshot(TEN, calls(900_000, 0), calls(100_000, 0))));
    assert_eq!(judge.verdict(), Verdict::Healthy);
    judge.begin_step();
    judge.observe(&Observation::of(snapshot(TEN, calls(9_000, 0), calls(985, 15))));
    assert_eq!(judge.verdict(), Verdict::Degraded, "{}", judge.judgment());
}

/// Guarantee G8.
#[test]
fn calls_without_a_response_are_not_below_a_limit() {
    let mut canary = calls(9_970, 1);
    canary.picked += 30;
    let judgment = judged(three_nines(), snapshot(TEN, calls(90_000, 0), canary));
    assert_eq!(judgment.verdict, Verdict::Inconclusive, "{judgment}");
}

/// Guarantee G8.
#[test]
fn at_most_five_errors_are_five() {
    let monitors = || [Monitor::failures(), Monitor::event("chargeback").at_most(Limit::count(5))];
    for (events, expected) in [(5, Verdict::Healthy), (6, Verdict::Degraded)] {
        let mut judge = judge(monitors());
        let observation = Observation::of(snapshot(TEN, calls(90_000, 0), calls(10_000, 0)));
        judge.observe(
            &observation.with_event("chargeback", support::ticks([900, 100], [80, events])),
        );
        let judgment = judge.judgment();
        assert_eq!(judgment.verdict, expected, "{judgment}");
        let text = judgment.findings[1].to_string();
        let kept = if events == 5 { "kept" } else { "exceeded" };
        assert_eq!(
            text,
            format!(
                "{events} of 100 canary events `chargeback` are adverse ({events}%), the limit is 5; \
                 it is {kept}"
            )
        );
        let restored = Judge::try_resume(Levels::default(), monitors(), &judge.state()).unwrap();
        assert_eq!(restored.judgment().to_string(), judgment.to_string());
    }
}

#[test]
fn a_count_takes_no_part_of_alpha_and_does_not_hold_a_rollout() {
    let monitors = [Monitor::failures(), Monitor::event("chargeback").at_most(Limit::count(5))];
    let mut judge = judge(monitors);
    assert_eq!(judge.alpha_of("failures"), Some(0.01));
    judge.observe(&Observation::of(snapshot(TEN, calls(90_000, 0), calls(10_000, 0))));
    assert_eq!(judge.verdict(), Verdict::Healthy, "no event was reported");
    let only = [Monitor::failures().at_most(Limit::count(5))];
    let error = Judge::try_new(Levels::default(), only).unwrap_err();
    assert_eq!(error, JudgeError::NoDecidingMonitor);
}

#[test]
fn a_limit_and_a_comparison_decide_together() {
    let mut judge = judge([
        Monitor::failures(),
        three_nines(),
        Monitor::failures().of_class("checkout").at_most(Limit::rate(0.01).unwrap()),
    ]);
    let names: Vec<_> = judge.monitors().map(|it| it.name().to_owned()).collect();
    let expected = ["failures", "failures at most 0.1%", "failures of checkout at most 1%"];
    assert_eq!(names, expected);
    // Stable fails as often, and more checkouts.
    let all = snapshot(TEN, calls(89_700, 300), calls(9_967, 33));
    let checkout = snapshot(TEN, calls(800, 100), calls(100, 0));
    judge.observe(&Observation::of(all).with_class("checkout", checkout));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Degraded);
    let text = judgment.to_string();
    assert!(
        text.starts_with(
            "degraded by `failures at most 0.1%`: 33 of 10,000 canary calls failed (0.33%), the limit \
             is 0.1%; odds against chance "
        ),
        "{text}"
    );
}

#[test]
fn limits_out_of_range_and_of_other_measures_are_refused() {
    for rate in [0.0, 1e-7, 0.51, f64::NAN] {
        let error = Limit::rate(rate).unwrap_err().to_string();
        assert_eq!(error, format!("limit {rate}, expected a rate of 0.000001 to 0.5"));
    }
    for monitor in [Monitor::share(), Monitor::unanswered()] {
        let monitors = [Monitor::failures(), monitor.at_most(Limit::count(1))];
        let error = Judge::try_new(Levels::default(), monitors).unwrap_err();
        assert!(matches!(error, JudgeError::LimitNotSupported(_)));
    }
}

#[test]
fn other_limits_do_not_continue_with_the_evidence() {
    let state = judge([three_nines()]).state();
    let other = Monitor::failures().at_most(Limit::rate(0.002).unwrap());
    let renamed = other.named(three_nines().name());
    assert!(Judge::try_resume(Levels::default(), [renamed], &state).is_err());
}
