//! Properties of the evidence for arbitrary counts.

#![expect(clippy::unwrap_used, reason = "test helpers")]

use canary_analysis::{
    AdverseCounts, Judge, Judgment, Levels, Margin, Margins, Monitor, Observation,
    keys::KeyLedger,
    statistics::{Evidence, RatioPrior, SampleRatioTest},
};
use canary_core::{Channel, Counts, EpochCounts, PerChannel, Snapshot, Verdict, Weight};
use proptest::prelude::*;
use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
use rand_distr::{Binomial, Distribution};

fn margins(worse: f64, floor: f64, good: f64, rate: f64) -> Margins {
    let worse = Margin { ratio: worse, rate: floor };
    Margins::try_new(worse, Margin { ratio: good, rate }).unwrap()
}

fn counts(ppm: u32, calls: [u64; 2], adverse: [u64; 2]) -> AdverseCounts {
    let of = |[stable, canary]: [u64; 2]| PerChannel { stable, canary };
    AdverseCounts::try_new(Weight::from_ppm(ppm), of(calls), of(adverse)).unwrap()
}

fn any_margins() -> impl Strategy<Value = Margins> {
    (1.0..3.0_f64, 0.0001..0.8_f64, 1.0..5.0_f64, 0.0001..0.9_f64)
        .prop_map(|(worse, floor, good, rate)| margins(worse, floor, good, rate))
}

/// Counts from one call to 10^12, also at the smallest and largest weights.
fn any_counts() -> impl Strategy<Value = AdverseCounts> {
    let ppm = prop_oneof![Just(0), Just(1), Just(999_999), Just(1_000_000), 0..=1_000_000_u32];
    let calls = || prop_oneof![Just(0), 1..40_u64, 1..1_000_000_000_000_u64];
    (ppm, calls(), calls(), 0.0..=1.0_f64, 0.0..=1.0_f64).prop_map(|(ppm, stable, canary, s, c)| {
        counts(ppm, [stable, canary], [part(stable, s), part(canary, c)])
    })
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a part of fewer than 2^53 calls"
)]
fn part(calls: u64, rate: f64) -> u64 {
    ((calls as f64 * rate) as u64).min(calls)
}

fn of(margins: Margins, looks: &[AdverseCounts]) -> Evidence {
    let mut evidence = Evidence::new(margins);
    looks.iter().for_each(|counts| evidence.observe(counts));
    evidence
}

/// Returns the bits of all numbers of the evidence.
fn bits(evidence: &Evidence) -> Vec<u64> {
    let interval = evidence.ratio_interval(0.01);
    [
        evidence.log_e_worse_relative(),
        evidence.log_e_worse_absolute(),
        evidence.log_e_worse(),
        evidence.log_e_good_relative(),
        evidence.log_e_good_absolute(),
        evidence.log_e_good(),
        interval.lower,
        interval.upper.unwrap_or(-1.0),
        interval.estimate.unwrap_or(-1.0),
    ]
    .map(f64::to_bits)
    .to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn split_or_merged_counts_are_the_same_evidence(
        margins in any_margins(), one in any_counts(), other in any_counts()
    ) {
        let ppm = one.weight().ppm();
        let add = |one: PerChannel<u64>, other: PerChannel<u64>| {
            [one.stable + other.stable, one.canary + other.canary]
        };
        let other = counts(ppm, add(other.calls(), PerChannel::default()),
            add(other.adverse(), PerChannel::default()));
        let both = counts(ppm, add(one.calls(), other.calls()), add(one.adverse(), other.adverse()));
        prop_assert_eq!(bits(&of(margins, &[one, other])), bits(&of(margins, &[both])));
    }

    /// Guarantee G5.
    #[test]
    fn merged_replicas_have_the_evidence_of_one_process(
        margins in any_margins(),
        one in prop::collection::vec(any_counts(), 0..6),
        other in prop::collection::vec(any_counts(), 0..6),
    ) {
        let mut merged = of(margins, &one);
        merged.merge(&of(margins, &other));
        prop_assert_eq!(bits(&merged), bits(&of(margins, &[one, other].concat())));
    }

    #[test]
    fn the_order_of_counts_does_not_matter(
        margins in any_margins(), looks in prop::collection::vec(any_counts(), 0..8)
    ) {
        let reversed: Vec<AdverseCounts> = looks.iter().rev().copied().collect();
        prop_assert_eq!(bits(&of(margins, &looks)), bits(&of(margins, &reversed)));
    }

    /// Guarantee G6.
    #[test]
    fn no_number_is_ever_nan(
        margins in any_margins(), looks in prop::collection::vec(any_counts(), 0..8)
    ) {
        let evidence = of(margins, &looks);
        prop_assert!(bits(&evidence).into_iter().map(f64::from_bits).all(f64::is_finite));
        let interval = evidence.ratio_interval(0.01);
        prop_assert!(interval.lower <= interval.upper.unwrap_or(f64::INFINITY));
    }

    /// Guarantee G3.
    #[test]
    fn calls_without_a_response_are_never_evidence_for_the_canary(
        looks in prop::collection::vec(any_counts(), 1..5), ppm in 0..=1_000_000_u32, calls in 1..1_000_u64
    ) {
        let mut judge = Judge::try_new(Levels::default(), [Monitor::failures()]).unwrap();
        let epochs = looks.iter().map(|look| {
            let mut counts = Counts::default();
            for channel in Channel::ALL {
                let counts = &mut counts.evidence[channel];
                (counts.picked, counts.failure) = (look.calls()[channel], look.adverse()[channel]);
                counts.success = counts.picked - counts.failure;
            }
            EpochCounts::new(1, look.weight(), counts)
        });
        judge.observe(&Observation::of(Snapshot::new(Counts::default(), epochs.collect())));
        let before = judge.judgment();

        let mut hanging = Counts::default();
        hanging.evidence.canary.picked = calls;
        let epoch = EpochCounts::new(2, Weight::from_ppm(ppm), hanging);
        judge.observe(&Observation::of(Snapshot::new(Counts::default(), vec![epoch])));
        let after = judge.judgment();
        let good = |judgment: &Judgment| judgment.findings[0].good.unwrap().log_e;
        let slack = 1e-9 * good(&before).abs().max(1.0) + 1e-2;
        prop_assert!(good(&after) <= good(&before) + slack);
        let is_new = before.verdict != Verdict::Healthy && after.verdict == Verdict::Healthy;
        prop_assert!(!is_new);
    }

    #[test]
    fn a_canary_failure_is_never_evidence_for_the_canary(
        margins in any_margins(), looks in prop::collection::vec(any_counts(), 0..8), ppm in 1..1_000_000_u32
    ) {
        let before = of(margins, &looks);
        let mut after = before.clone();
        after.observe(&counts(ppm, [0, 1], [0, 1]));
        // A sum of 10^12 has an error of about 10^-3.
        let slack = 1e-9 * before.log_e_worse().abs().max(1.0) + 1e-2;
        prop_assert!(after.log_e_worse() >= before.log_e_worse() - slack);
    }
}

/// Binomial draws from a fixed seed.
struct Draws(ChaCha8Rng);

impl Draws {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn of(&mut self, calls: u64, rate: f64) -> u64 {
        Binomial::new(calls, rate).unwrap().sample(&mut self.0)
    }
}

const RUNS: u32 = 4_000;

/// Returns the mean of `e` over simulated rollouts, and its Monte Carlo error.
fn mean_of(seed: u64, mut e: impl FnMut(&mut Draws) -> f64) -> (f64, f64) {
    let mut draws = Draws::new(seed);
    let values: Vec<f64> = (0..RUNS).map(|_| e(&mut draws)).collect();
    let runs = f64::from(RUNS);
    let mean = values.iter().sum::<f64>() / runs;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (runs - 1.0);
    (mean, (variance / runs).sqrt())
}

/// Simulates a rollout of three weights, twenty looks each. The rates of both channels drift alike.
fn rollout(draws: &mut Draws, margins: Margins, rate: f64, ratio: f64) -> Evidence {
    let mut evidence = Evidence::new(margins);
    for (ppm, w) in [(10_000, 0.01), (100_000, 0.1), (500_000, 0.5)] {
        for step in 0..20_u32 {
            let drift = 1.0 + f64::from(step % 5) / 2.0;
            let canary = draws.of(200, w);
            let stable = 200 - canary;
            let failed = |draws: &mut Draws, calls, ratio| draws.of(calls, rate * drift * ratio);
            let adverse = [failed(draws, stable, 1.0), failed(draws, canary, ratio)];
            evidence.observe(&counts(ppm, [stable, canary], adverse));
        }
    }
    evidence
}

#[test]
fn the_mean_e_value_for_worse_is_at_most_one_if_the_canary_is_not() {
    for (seed, ratio) in [(1, 1.0_f64), (2, 1.5), (3, 0.7)] {
        let null = margins(ratio.max(1.0), 0.001, 2.0, 0.005);
        let (mean, error) =
            mean_of(seed, |draws| rollout(draws, null, 0.02, ratio).log_e_worse_relative().exp());
        assert!(mean <= 1.0 + 3.0 * error, "ratio {ratio}: {mean} +- {error}");
    }
}

/// Guarantee G3.
#[test]
fn the_mean_e_value_for_good_is_at_most_one_at_the_margin() {
    let null = margins(1.0, 0.001, 2.0, 0.02);
    let (mean, error) =
        mean_of(4, |draws| rollout(draws, null, 0.02, 2.0).log_e_good_relative().exp());
    assert!(mean <= 1.0 + 3.0 * error, "{mean} +- {error}");
    // The drift only raises the rate above the margin of 2 %.
    let (mean, error) = mean_of(5, |draws| rollout(draws, null, 0.02, 2.0).log_e_good().exp());
    assert!(mean <= 1.0 + 3.0 * error, "{mean} +- {error}");
}

/// Returns the exact mean of `e` over a binomial variable of `trials` trials.
fn binomial_mean(trials: u64, probability: f64, e: impl Fn(u64) -> f64) -> f64 {
    let mut of_k = (1.0 - probability).powi(i32::try_from(trials).unwrap());
    let mut mean = 0.0;
    for k in 0..=trials {
        mean += of_k * e(k);
        let left = f64::from(u32::try_from(trials - k).unwrap());
        of_k *= left / f64::from(u32::try_from(k + 1).unwrap()) * probability / (1.0 - probability);
    }
    mean
}

/// Guarantee G1.
#[test]
fn the_mean_e_value_is_exactly_one_at_the_margin() {
    let weights = [(10_000, 0.01, 1.0), (300_000, 0.3, 1.5), (900_000, 0.9, 2.0)];
    for ((ppm, w, ratio), prior) in weights.into_iter().flat_map(|weight| {
        [RatioPrior::Equal, RatioPrior::Tuned, RatioPrior::Extreme].map(|prior| (weight, prior))
    }) {
        let of_canary = w * ratio / (w * ratio + 1.0 - w);
        let events = |canary: u64| {
            let null = margins(ratio, 0.001, ratio, 0.005);
            let mut evidence = Evidence::with_prior(null, prior);
            evidence.observe(&counts(ppm, [60 - canary, canary], [60 - canary, canary]));
            evidence
        };
        let worse = binomial_mean(60, of_canary, |k| events(k).log_e_worse_relative().exp());
        let good = binomial_mean(60, of_canary, |k| events(k).log_e_good_relative().exp());
        assert!((worse - 1.0).abs() < 1e-9, "{prior:?}: {worse}");
        assert!((good - 1.0).abs() < 1e-9, "{good}");
    }
}

#[test]
fn the_mean_e_value_of_a_correct_split_is_exactly_one() {
    let mean = binomial_mean(60, 0.1, |canary| {
        let mut share = SampleRatioTest::new();
        share.observe(Weight::from_percent(10), PerChannel { stable: 60 - canary, canary });
        share.log_e().exp()
    });
    assert!((mean - 1.0).abs() < 1e-9, "{mean}");
}

#[test]
fn the_mean_e_value_is_one_for_a_key_that_fails_at_every_weight() {
    let steps = [1, 5, 10, 25, 50].map(Weight::from_percent);
    let mut mean = 0.0;
    // The key is the canary's from one of the steps on, or never.
    let mut below = 0.0;
    for from in 0..=steps.len() {
        let until = steps.get(from).map_or(1.0, |weight| weight.ratio());
        let mut ledger = KeyLedger::new(1);
        for (step, weight) in steps.iter().enumerate() {
            let channel = if step >= from { Channel::Canary } else { Channel::Stable };
            ledger.record(1, channel, *weight);
        }
        let monitor = Monitor::failures().per_key();
        let mut judge = Judge::try_new(Levels::default(), [monitor]).unwrap();
        judge.observe(&Observation::default().with_adverse_keys("failures", &ledger.take()));
        let e = judge.evidence("failures").unwrap().log_e_worse_relative().exp();
        mean += (until - below) * e;
        below = until;
    }
    assert!((mean - 1.0).abs() < 1e-9, "{mean}");
}

#[test]
fn the_interval_contains_the_ratio_at_every_look() {
    let mut draws = Draws::new(7);
    let null = margins(1.0, 0.001, 2.0, 0.005);
    let missed = (0..200)
        .filter(|_| {
            let mut evidence = Evidence::new(null);
            (0..30).any(|_| {
                let canary = draws.of(400, 0.3);
                let adverse = [draws.of(400 - canary, 0.02), draws.of(canary, 0.06)];
                evidence.observe(&counts(300_000, [400 - canary, canary], adverse));
                let interval = evidence.ratio_interval(0.1);
                interval.lower > 3.0 || interval.upper.is_some_and(|upper| upper < 3.0)
            })
        })
        .count();
    // At most 10 % of 200 are expected, with a standard deviation of 4.
    assert!(missed <= 32, "{missed} of 200");
}
