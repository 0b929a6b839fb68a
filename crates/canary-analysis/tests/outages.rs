//! A healthy verdict must not depend on an outage, which is no evidence about the time after it.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use std::time::Duration;

use canary_analysis::{Judge, Monitor, Observation, judgment::NotHealthyReason};
use canary_core::{PerChannel, Snapshot, Verdict, Weight};
use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Binomial, Distribution};

use self::support::{TEN, calls, judge, judge_after, snapshot};

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

    /// Lets stable serve all calls for some seconds, and starts an attempt with what they showed.
    fn after_baseline(mut self, seconds: u32, stable: f64) -> Self {
        for _ in 0..seconds {
            let failed = Binomial::new(50, stable).unwrap().sample(&mut self.rng);
            let (stable, canary) = (calls(50 - failed, failed), calls(0, 0));
            self.judge.observe(&Observation::of(snapshot(Weight::ZERO, stable, canary)));
        }
        let baseline = self.judge.baseline();
        let judge = judge([Monitor::failures(), Monitor::share()]);
        self.judge = judge.try_with_baseline(&baseline).unwrap();
        self
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
fn a_service_with_a_high_usual_rate_is_proven_once_the_rate_is_known() {
    let mut service = Service::new(1);
    let after = service.until(Verdict::Healthy, 0.3, 0.3).unwrap();
    assert!((660..680).contains(&after), "{after}");
    // With a baseline it takes as long as the proof.
    let mut service = Service::new(1).after_baseline(700, 0.3);
    let after = service.until(Verdict::Healthy, 0.3, 0.3).unwrap();
    assert!(after < 30, "{after}");
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
    let mut judge = judge_after(&calls(50, 0), [Monitor::failures()]);
    for _ in 0..40 {
        judge.observe(&Observation::of(snapshot(TEN, calls(45, 0), calls(5, 0))));
    }
    judge.observe(&Observation::of(snapshot(TEN, calls(0, 450), calls(0, 50))));
    // The look after it belongs to it, until the excess is gone.
    judge.observe(&Observation::of(snapshot(TEN, calls(45, 1), calls(5, 0))));
    let judgment = judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    let finding = &judgment.findings[0];
    assert_eq!(
        finding.not_healthy_reason,
        Some(NotHealthyReason::Outages { events: 501, all: 501 })
    );
    assert!(!finding.good.unwrap().is_reached());
    let text = "501 of 501 adverse events came in outages of both versions, which prove nothing about the \
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
        let mut judge = judge_after(&calls(995, 5), [Monitor::failures()]);
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
    // Two failures of fifty wait, and count after the calm look.
    let (calm, few) = ([9_000, 45, 1_000, 5], [45, 2, 5, 0]);
    let (waiting, counted) = (judged(&[calm, few]), judged(&[calm, few, [50, 0, 0, 0], calm]));
    assert!(good(&waiting) != whole(&waiting));
    assert_eq!(good(&counted), whole(&counted));
}

/// Both channels have an outage of `part` of their calls, and the canary fails more in addition.
fn rates(part: f64, (stable, canary): (f64, f64)) -> (f64, f64) {
    (stable + (1.0 - stable) * part, canary + (1.0 - canary) * part)
}

/// Guarantee G3. The outages are partial, of any size and length, and the canary is many times
/// worse.
#[test]
fn a_fault_behind_a_partial_outage_is_never_called_healthy() {
    for part in [0.02, 0.05, 0.1, 0.3, 0.7] {
        for (outage, baseline) in [(60, 0), (300, 0), (600, 0), (300, 700), (900, 700)] {
            let healthy = (0..20).filter(|seed| {
                let mut service = Service::new(*seed).after_baseline(baseline, 0.001);
                let verdicts = (0..1_000).map(|second| {
                    let part = if second < outage { part } else { 0.0 };
                    let (stable, canary) = rates(part, (0.001, 0.01));
                    service.second(stable, canary)
                });
                verdicts.take_while(|it| *it != Verdict::Degraded).any(|it| it == Verdict::Healthy)
            });
            assert_eq!(healthy.count(), 0, "{part} for {outage} s, {baseline} s of baseline");
        }
    }
}

/// Guarantee G3.
#[test]
fn a_fault_behind_recurring_outages_is_rarely_called_healthy() {
    type Law = fn(u32) -> f64;
    let laws: [(&str, Law); 5] = [
        ("10 of 20 minutes", |at| if at % 1_200 < 600 { 0.3 } else { 0.0 }),
        ("ramp", |at| if at % 1_200 < 600 { 0.3 * f64::from(at % 1_200) / 600.0 } else { 0.0 }),
        ("sawtooth", |at| 0.04 * f64::from(at % 600) / 600.0),
        ("flapping", |at| if at % 60 < 20 { 0.3 } else { 0.0 }),
        ("weak", |at| if at % 900 < 400 { 0.02 } else { 0.0 }),
    ];
    for (name, law) in laws {
        let healthy = (0..60).filter(|seed| {
            let mut service = Service::new(*seed);
            let verdicts = (0..2_400).map(|second| {
                let (stable, canary) = rates(law(second), (0.001, 0.01));
                service.second(stable, canary)
            });
            verdicts.take_while(|it| *it != Verdict::Degraded).any(|it| it == Verdict::Healthy)
        });
        // At most 5 % are promised, and 60 rollouts have at most 7 with a probability of 99 %.
        let healthy = healthy.count();
        assert!(healthy <= 7, "{name}: {healthy} of 60");
    }
}

/// The rates of waves that begin at 0, as a fraction of their peak, without a calm time.
fn wave(shape: &str, second: u32, period: u32) -> f64 {
    let part = f64::from(second % period) / f64::from(period);
    match shape {
        "rises" => part,
        "falls" => 1.0 - part,
        "sine" => (1.0 - (part * std::f64::consts::TAU).cos()) / 2.0,
        _ => f64::from(u8::from(part >= 0.5)),
    }
}

/// Guarantee G3. Without the detection of waves, 34 to 100 of 100 are healthy in nine of these.
#[test]
fn a_fault_behind_waves_without_a_calm_time_is_rarely_called_healthy() {
    for peak in [0.06, 0.3] {
        for (shape, period) in [
            ("rises", 30),
            ("falls", 30),
            ("sine", 30),
            ("flaps", 30),
            ("rises", 60),
            ("falls", 60),
            ("sine", 60),
            ("rises", 120),
        ] {
            let healthy = (0..20).filter(|seed| {
                let mut service = Service::new(*seed);
                let verdicts = (0..2_400).map(|second| {
                    let (stable, canary) = rates(peak * wave(shape, second, period), (0.001, 0.01));
                    service.second(stable, canary)
                });
                verdicts.take_while(|it| *it != Verdict::Degraded).any(|it| it == Verdict::Healthy)
            });
            // At most 5 % are promised, and 20 rollouts have at most 4 with a probability of 99.7 %.
            let healthy = healthy.count();
            assert!(healthy <= 4, "{peak} {shape} {period}: {healthy} of 20");
        }
    }
}

/// The rates are those of a good canary. They vary within minutes, about a calm level that is known.
#[test]
fn a_rate_that_varies_about_a_calm_level_is_no_wave() {
    type Law = fn(u32) -> f64;
    let laws: [(&str, Law); 4] = [
        ("steady", |_| 0.02),
        ("twice as high each half minute", |at| if at % 60 < 30 { 0.02 } else { 0.01 }),
        ("bursts", |at| if at % 60 < 5 { 0.06 } else { 0.01 }),
        ("outages", |at| if at % 60 < 20 { 0.3 } else { 0.01 }),
    ];
    for (name, law) in laws {
        let healthy = (0..20).filter(|seed| {
            let mut service = Service::new(3_000 + *seed);
            (0..3_600).any(|second| {
                let rate = law(second);
                service.second(rate, rate) == Verdict::Healthy
            })
        });
        let healthy = healthy.count();
        assert!(healthy >= 18, "{name}: {healthy} of 20");
    }
}

#[test]
fn a_proof_from_waves_is_reported_and_the_canarys_own_rate_needs_none() {
    // Twenty seconds have at least 2 % of failures.
    let law = |second| 0.06 * wave("sine", second, 20);
    let mut service = Service::new(1);
    for second in 0..2_400 {
        service.second(law(second), law(second));
    }
    let judgment = service.judge.judgment();
    assert_eq!(judgment.verdict, Verdict::Inconclusive);
    assert_eq!(judgment.findings[0].not_healthy_reason, Some(NotHealthyReason::NeverCalm));
    let text = "; the rate of both versions rises and falls within minutes, so that a canary that is \
                much worse would not show; waiting for calm";
    assert!(judgment.to_string().ends_with(text), "{judgment}");

    // A canary that is proven to fail less than the margin needs no comparison.
    let mut service = Service::new(1);
    let healthy = (0..2_400).any(|second| service.second(law(second), 0.0) == Verdict::Healthy);
    assert!(healthy, "{}", service.judge.judgment());
}

/// Waves that begin later are no sign that the earlier proof was wrong.
#[test]
fn waves_do_not_withdraw_a_healthy_verdict() {
    let mut service = Service::new(2).after_baseline(700, 0.01);
    service.until(Verdict::Healthy, 0.01, 0.01).unwrap();
    for second in 0..1_200 {
        let rate = 0.01 + 0.06 * wave("sine", second, 20);
        let verdict = service.second(rate, rate);
        assert_eq!(verdict, Verdict::Healthy, "second {second}: {}", service.judge.judgment());
    }
    // A new attempt does not begin with one, until the waves have ended.
    let judge = judge([Monitor::failures(), Monitor::share()]);
    service.judge = judge.try_with_baseline(&service.judge.baseline()).unwrap();
    let healthy = (0..1_200).any(|second| {
        let rate = 0.01 + 0.06 * wave("sine", second, 20);
        service.second(rate, rate) == Verdict::Healthy
    });
    assert!(!healthy);
    let after = service.until(Verdict::Healthy, 0.01, 0.01).unwrap();
    assert!((600..=3_600).contains(&after), "{after}");
}

#[test]
fn what_an_incident_has_proven_goes_away_with_the_first_calm_minute() {
    let mut judge = judge([Monitor::failures()]);
    let look = |judge: &mut Judge, failed: [u64; 2], seconds: u32| {
        let [stable, canary] = failed;
        for _ in 0..seconds {
            let (stable, canary) = (calls(450 - stable, stable), calls(50 - canary, canary));
            judge.observe(&Observation::of(snapshot(TEN, stable, canary)));
        }
        judge.verdict()
    };
    // It lasts longer than the judge waits, and seems to be usual.
    assert_eq!(look(&mut judge, [45, 5], 700), Verdict::Healthy);
    assert_eq!(look(&mut judge, [0, 0], 60), Verdict::Inconclusive);
    let reason = judge.judgment().findings[0].not_healthy_reason.clone();
    assert!(matches!(reason, Some(NotHealthyReason::Outages { .. })), "{reason:?}");
}

#[test]
fn the_usual_rate_must_be_known() {
    let mut judge = judge([Monitor::failures()]);
    for _ in 0..300 {
        judge.observe(&Observation::of(snapshot(TEN, calls(891, 9), calls(99, 1))));
    }
    let text = judge.judgment().to_string();
    let reason = "; the usual rate is not known yet, after 300s of 660s: an outage of both versions \
                  would pass for it";
    assert!(text.ends_with(reason), "{text}");
    // Looks can be longer.
    let look = Observation::of(snapshot(TEN, calls(8_910, 90), calls(990, 10)));
    let look = look.with_duration(Duration::from_secs(30));
    for _ in 0..13 {
        judge.observe(&look);
    }
    assert_eq!(judge.verdict(), Verdict::Healthy);
}
