//! Outages of one channel alone are no harm of the canary if stable has them too.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::sync::Mutex;

use canary_analysis::{Baseline, Judge, Monitor, Observation, SecondProof};
use canary_core::{Counts, EpochCounts, Snapshot, Verdict, Weight};
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Binomial, Distribution};

use self::support::{TEN, calls, judge, snapshot};

mod support;

/// A service of 50 calls a second.
struct Service {
    rng: ChaCha8Rng,
    judge: Judge,
}

impl Service {
    fn new(seed: u64, judge: Judge) -> Self {
        Self { rng: ChaCha8Rng::seed_from_u64(seed), judge }
    }

    fn second(&mut self, weight: Weight, stable: f64, canary: f64) -> Verdict {
        let mut of = |calls, rate| Binomial::new(calls, rate).unwrap().sample(&mut self.rng);
        let given = of(50, weight.ratio());
        let (stable_failed, canary_failed) = (of(50 - given, stable), of(given, canary));
        let stable = calls(50 - given - stable_failed, stable_failed);
        let canary = calls(given - canary_failed, canary_failed);
        self.judge.observe(&Observation::of(snapshot(weight, stable, canary)));
        self.judge.verdict()
    }
}

const USUAL: f64 = 0.001;

/// An hour in which stable serves all calls, and fails all of them for some seconds of every ten
/// minutes.
fn bursty(seed: u64, outage: u32) -> Baseline {
    let mut service = Service::new(seed, judge([Monitor::failures()]));
    for second in 0..3_600 {
        let rate = if second % 600 < outage { 1.0 } else { USUAL };
        service.second(Weight::ZERO, rate, 0.0);
    }
    service.judge.baseline()
}

fn judge_with(baseline: &Baseline) -> Judge {
    judge([Monitor::failures()]).try_with_baseline(baseline).unwrap()
}

/// Returns the verdict after an outage of the canary alone that lasts some seconds.
fn after_an_outage(judge: Judge, seconds: u32) -> (Verdict, String) {
    let mut service = Service::new(7, judge);
    for second in 0..400 {
        let canary = if (300..300 + seconds).contains(&second) { 1.0 } else { USUAL };
        service.second(TEN, USUAL, canary);
    }
    (service.judge.verdict(), service.judge.judgment().to_string())
}

#[test]
fn an_outage_of_the_canary_alone_is_no_harm_if_stable_has_them_too() {
    let (verdict, text) = after_an_outage(judge_with(&bursty(1, 5)), 5);
    assert_ne!(verdict, Verdict::Degraded);
    let reason = "but stable has outages of its own, so that blocks of time must show it too: \
                  the proof stands at";
    assert!(text.contains(reason), "{text}");
    // Stable has none.
    assert_eq!(after_an_outage(judge_with(&bursty(1, 0)), 5).0, Verdict::Degraded);
    assert_eq!(after_an_outage(judge([Monitor::failures()]), 5).0, Verdict::Degraded);
    // No second proof is asked for, or from more outages on.
    for rule in [SecondProof::NEVER, SecondProof::try_new(1000.0, 20.0).unwrap()] {
        let judge = judge_with(&bursty(1, 5)).with_second_proof(rule);
        assert_eq!(after_an_outage(judge, 5).0, Verdict::Degraded);
    }
}

#[test]
fn a_canary_that_fails_every_call_is_degraded_after_about_a_minute_in_a_bursty_service() {
    // Seven blocks of time, each twice as long as an outage, or five seconds.
    for (outage, most) in [(1, 40), (5, 75)] {
        let mut seconds: Vec<usize> = (0..20)
            .map(|seed| {
                let mut service = Service::new(seed, judge_with(&bursty(seed, outage)));
                (0..1_200).find(|_| service.second(TEN, USUAL, 1.0) == Verdict::Degraded).unwrap()
            })
            .collect();
        seconds.sort_unstable();
        println!("outages of {outage} s: after {} s, median", seconds[10]);
        assert!(seconds[10] <= most && seconds[17] <= 2 * most, "{seconds:?}");
    }
}

#[test]
fn a_failure_just_before_an_outage_does_not_make_it_longer() {
    let until_degraded = |failures_before: u64| {
        let mut idle = judge([Monitor::failures()]);
        for second in 0..3_600 {
            let failed = match second % 600 {
                300 => failures_before,
                303..308 => 50,
                _ => 0,
            };
            let stable = calls(50 - failed, failed);
            idle.observe(&Observation::of(snapshot(Weight::ZERO, stable, calls(0, 0))));
        }
        let mut service = Service::new(1, judge_with(&idle.baseline()));
        (0..1_200).find(|_| service.second(TEN, 0.0, 1.0) == Verdict::Degraded).unwrap()
    };
    assert_eq!(until_degraded(1), until_degraded(0));
}

#[test]
fn harm_is_found_in_a_bursty_service() {
    for seed in 0..10 {
        let mut service = Service::new(seed, judge_with(&bursty(seed, 5)));
        let verdicts = (0..3_600).map(|second| {
            let stable = if second % 600 == 450 { 1.0 } else { 0.01 };
            let canary = if second % 600 == 150 { 1.0 } else { 0.05 };
            service.second(TEN, stable, canary)
        });
        assert!(verdicts.into_iter().any(|verdict| verdict == Verdict::Degraded), "{seed}");
    }
}

/// Returns whether a second proof is asked for after an hour with these rates.
fn asks(seed: u64, rates: impl Fn(u32) -> (f64, f64)) -> bool {
    let mut service = Service::new(seed, judge([Monitor::failures()]));
    for second in 0..3_600 {
        let (stable, canary) = rates(second);
        service.second(TEN, stable, canary);
    }
    service.judge.judgment().findings[0].second_proof.is_some()
}

#[test]
fn calm_services_and_outages_of_both_channels_need_no_second_proof() {
    for seed in 0..5 {
        for rate in [0.0005, 0.005, 0.05] {
            assert!(!asks(seed, |_| (rate, rate)), "{rate}");
        }
        let wave = |second: u32| 0.005 * (1.0 + 0.8 * (f64::from(second) / 190.0).sin());
        assert!(!asks(seed, |second| (wave(second), wave(second))), "drift");
        for part in [1.0, 0.3] {
            let both = |second| if second % 600 < 30 { (part, part) } else { (USUAL, USUAL) };
            assert!(!asks(seed, both), "{part}");
        }
        let own = |second| if second % 600 < 10 { (1.0, USUAL) } else { (USUAL, USUAL) };
        assert!(asks(seed, own), "the test needs this case");
    }
}

#[test]
fn an_outage_of_stable_is_forgotten_after_half_a_day() {
    let mut judge = judge_with(&bursty(3, 5));
    let is_asked = |judge: &Judge| judge.judgment().findings[0].second_proof.is_some();
    let minute = Observation::of(snapshot(Weight::ZERO, calls(3_000, 0), calls(0, 0)));
    let minute = minute.with_duration(std::time::Duration::from_secs(60));
    (0..5 * 60).for_each(|_| judge.observe(&minute));
    assert!(is_asked(&judge));
    (0..7 * 60).for_each(|_| judge.observe(&minute));
    assert!(!is_asked(&judge));
}

/// The guard reads live counts, in which the canary fails every call.
fn trips(judge: &Judge) -> bool {
    let live = Mutex::new(Snapshot::new(Counts::default(), Vec::new()));
    let guard = judge.guard(Snapshot::default(), || live.lock().unwrap().clone()).unwrap();
    (1..20).any(|failed| {
        let mut counts = Counts::default();
        (counts.evidence.canary.picked, counts.evidence.canary.failure) = (failed, failed);
        *live.lock().unwrap() =
            Snapshot::new(Counts::default(), vec![EpochCounts::new(1, TEN, counts)]);
        guard.canary_failed(TEN).is_some()
    })
}

#[test]
fn the_guard_asks_for_the_second_proof_too() {
    assert!(trips(&judge_with(&bursty(1, 0))));
    assert!(!trips(&judge_with(&bursty(1, 5))));
    assert!(trips(&judge_with(&bursty(1, 5)).with_second_proof(SecondProof::NEVER)));
    // With the second proof it trips.
    let mut service = Service::new(1, judge_with(&bursty(1, 5)));
    while service.judge.judgment().findings[0].second_proof.is_none_or(|it| !it.is_reached()) {
        service.second(TEN, USUAL, 1.0);
    }
    assert!(trips(&service.judge));
}
