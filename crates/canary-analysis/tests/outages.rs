//! A healthy verdict must not depend on an outage, which is no evidence about the time after it.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use canary_analysis::{Judge, Monitor, Observation, judgment::NotHealthyReason};
use canary_core::{PerChannel, Snapshot, Verdict};
use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Binomial, Distribution};

use self::support::{TEN, calls, judge, snapshot};

mod support;

/// A service of 50 calls a second, at a weight of 10 %.
struct Service {
    rng: ChaCha8Rng,
    judge: Judge,
    seconds: u32,
}

impl Service {
    fn new(seed: u64) -> Self {
        let judge = judge([Monitor::failures(), Monitor::share()]);
        Self { rng: ChaCha8Rng::seed_from_u64(seed), judge, seconds: 0 }
    }

    fn second(&mut self, stable: f64, canary: f64) -> Verdict {
        let mut of = |calls, rate| Binomial::new(calls, rate).unwrap().sample(&mut self.rng);
        let given = of(50, 0.1);
        let failed = PerChannel { stable: of(50 - given, stable), canary: of(given, canary) };
        let (stable, canary) = (
            calls(50 - given - failed.stable, failed.stable),
            calls(given - failed.canary, failed.canary),
        );
        self.judge.observe(&Observation::of(snapshot(TEN, stable, canary)));
        self.seconds += 1;
        self.judge.verdict()
    }

    /// Returns the seconds until the first verdict, if it is `wanted`.
    fn until(&mut self, wanted: Verdict, stable: f64, canary: f64) -> Option<u32> {
        let from = self.seconds;
        let decided =
            (0..7_200).map(|_| self.second(stable, canary)).find(|it| *it != Verdict::Inconclusive);
        (decided == Some(wanted)).then(|| self.seconds - from)
    }
}

fn median(mut values: Vec<u32>) -> u32 {
    values.sort_unstable();
    values[values.len() / 2]
}

#[test]
fn a_fault_behind_an_outage_is_never_called_healthy() {
    for (faulty_before, outage) in [(0, 10), (0, 60), (5, 10), (5, 60)] {
        let caught = (0..50).map(|seed| {
            let mut service = Service::new(seed);
            for second in 0..faulty_before + outage {
                let (stable, canary) =
                    if second < faulty_before { (0.001, 0.05) } else { (1.0, 1.0) };
                assert_ne!(service.second(stable, canary), Verdict::Healthy, "seed {seed}");
            }
            let caught = service.until(Verdict::Degraded, 0.001, 0.05);
            caught.unwrap_or_else(|| panic!("seed {seed}: not degraded first"))
        });
        let caught: Vec<u32> = caught.collect();
        println!("outage of {outage} s: degraded after {} s, median", median(caught));
    }
}

#[test]
fn a_good_canary_is_proven_as_soon_as_without_outages() {
    for failures in [0.0, 0.001, 0.01, 0.05] {
        let proven = |outage: u32| {
            let all = (0..50).map(|seed| {
                let mut service = Service::new(1_000 + seed);
                // The outage comes in the middle of the proof.
                for second in 0..20 + outage {
                    let rate = if second < 20 { failures } else { 1.0 };
                    service.second(rate, rate);
                }
                let after = service.until(Verdict::Healthy, failures, failures);
                after.map_or(u32::MAX, |after| 20 + after)
            });
            median(all.collect())
        };
        let (without, short, long) = (proven(0), proven(10), proven(60));
        println!("{failures}: {without} s, {short} s and {long} s after outages");
        assert!(f64::from(short.max(long)) <= 1.5 * f64::from(without), "{failures}");
    }
}

#[test]
fn a_service_with_a_high_usual_rate_is_proven_once_the_rate_is_usual() {
    let mut service = Service::new(1);
    let after = service.until(Verdict::Healthy, 0.3, 0.3).unwrap();
    // The limit of 2 % doubles every 30 seconds, and so do the odds.
    assert!((90..180).contains(&after), "{after}");
}

#[test]
fn regular_small_bursts_are_no_outages() {
    let proven = |bursts: bool| {
        let all = (0..50).map(|seed| {
            let mut service = Service::new(2_000 + seed);
            let decided = (0..7_200).find(|second| {
                // The mean is 1 % in both cases.
                let rate = if !bursts {
                    0.01
                } else if second % 20 == 0 {
                    0.1
                } else {
                    0.005_263
                };
                service.second(rate, rate) != Verdict::Inconclusive
            });
            decided.unwrap_or(u32::MAX)
        });
        median(all.collect())
    };
    let (steady, bursty) = (proven(false), proven(true));
    println!("{steady} s, {bursty} s with bursts");
    assert!(f64::from(bursty) <= 1.5 * f64::from(steady), "{steady} {bursty}");
}

#[test]
fn a_proof_that_depends_on_an_outage_is_reported() {
    let mut judge = judge([Monitor::failures()]);
    for _ in 0..40 {
        judge.observe(&Observation::of(snapshot(TEN, calls(45, 0), calls(5, 0))));
    }
    judge.observe(&Observation::of(snapshot(TEN, calls(0, 450), calls(0, 50))));
    judge.observe(&Observation::of(snapshot(TEN, calls(45, 1), calls(5, 0))));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    let finding = &judgment.findings[0];
    assert_eq!(
        finding.not_healthy_reason,
        Some(NotHealthyReason::Outages { events: 500, all: 501 })
    );
    assert!(!finding.good.unwrap().is_reached());
    let text = "500 of 501 adverse events came in outages of both versions, which prove nothing about the \
         canary; waiting for calm";
    assert!(judgment.to_string().ends_with(text), "{judgment}");
}

/// Looks of up to 60 calls: the calls and failures of stable, then those of the canary.
fn any_looks() -> impl Strategy<Value = Vec<[u64; 4]>> {
    let rate = || prop_oneof![4 => Just(0.0), 2 => 0.0..0.1_f64, 1 => 0.5..=1.0_f64];
    let look = (0..50_u64, 0..10_u64, rate(), rate()).prop_map(|(stable, canary, s, c)| {
        let part = |calls: u64, rate: f64| (0..calls).filter(|call| unit(*call) < rate).count();
        let of = |calls, rate| u64::try_from(part(calls, rate)).unwrap();
        [stable, of(stable, s), canary, of(canary, c)]
    });
    prop::collection::vec(look, 1..40)
}

/// Spreads numbers over `0.0..1.0`.
fn unit(number: u64) -> f64 {
    f64::from(u32::try_from(number * 37 % 61).unwrap()) / 61.0
}

fn observed([stable, stable_failed, canary, canary_failed]: [u64; 4]) -> Snapshot {
    let of = |all: u64, failed: u64| calls(all - failed, failed);
    snapshot(TEN, of(stable, stable_failed), of(canary, canary_failed))
}

fn good(judge: &Judge) -> u64 {
    judge.judgment().findings[0].good.unwrap().log_e.to_bits()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Guarantee G5.
    #[test]
    fn replicas_merged_in_each_look_detect_the_outages_of_one_process(looks in any_looks()) {
        let (mut one, mut many) = (judge([Monitor::failures()]), judge([Monitor::failures()]));
        for look in looks {
            one.observe(&Observation::of(observed(look)));
            let half = look.map(|count| count / 2);
            let rest = [0, 1, 2, 3].map(|at| look[at] - half[at]);
            let is_possible = [half, rest].iter().all(|[s, f, c, g]| f <= s && g <= c);
            let parts = if is_possible { [half, rest] } else { [[0; 4], look] };
            let [half, rest] = parts.map(|part| Observation::of(observed(part)));
            many.observe(&rest.with_replica(half));
        }
        prop_assert_eq!(good(&one), good(&many));
    }

    /// The finding has the weaker of two proofs.
    #[test]
    fn excluding_outages_never_strengthens_the_proof(looks in any_looks()) {
        let mut judge = judge([Monitor::failures()]);
        for look in looks {
            judge.observe(&Observation::of(observed(look)));
            let whole = judge.evidence("failures").unwrap().log_e_good();
            prop_assert!(judge.judgment().findings[0].good.unwrap().log_e <= whole);
        }
    }
}

#[test]
fn the_grouping_of_looks_changes_outages_but_not_the_evidence_for_worse() {
    let judged = |looks: &[[u64; 4]]| {
        let mut judge = judge([Monitor::failures()]);
        looks.iter().for_each(|look| judge.observe(&Observation::of(observed(*look))));
        judge
    };
    let (usual, outage) = ([9_000, 45, 1_000, 5], [450, 450, 50, 50]);
    let apart = judged(&[usual, usual, usual, outage, usual, usual, usual]);
    // A look so long that it dilutes an outage of a few seconds.
    let together = judged(&[[54_450, 720, 6_050, 80]]);
    assert!(f64::from_bits(good(&apart)) + 5.0 < f64::from_bits(good(&together)));
    let worse = |judge: &Judge| judge.judgment().findings[0].worse.log_e.to_bits();
    assert_eq!(worse(&apart), worse(&together));
    let whole = |judge: &Judge| judge.evidence("failures").unwrap().log_e_good().to_bits();
    assert_eq!(whole(&apart), whole(&together));
    // Seven failures of fifty are an outage, unless a rate of 2 % is usual already.
    let (steady, burst) = ([9_000, 171, 1_000, 19], [45, 7, 5, 0]);
    let (before, after) = (judged(&[burst, steady]), judged(&[steady, burst]));
    assert!(good(&before) != good(&after));
    assert_eq!(whole(&before), whole(&after));
    assert_eq!(good(&after), whole(&after));
}
