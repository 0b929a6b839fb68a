use canary_core::PerChannel;

use crate::{
    interval::RatioInterval,
    log_space::float,
    split_e_process::{Alternatives, SplitEProcess},
    split_ratio::SplitRatio,
};

/// The evidence that calls are not split as the weight requests: a sample ratio mismatch test.
///
/// # Method
///
/// Every call is a trial with a known probability, the weight. The e-process tests whether the odds
/// of the canary are off by some factor, up or down. Its mean is 1 if calls are assigned
/// independently with the weight. A broken split invalidates every comparison of the channels, so
/// the rollout must stop. Calls of sticky users are not independent: count each key once, see
/// [`KeyLedger`](crate::keys::KeyLedger).
///
/// Source: Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022).
/// The mixture over factors is an addition of this crate: a factor has the same meaning at each
/// weight, so that one test covers changes of the weight.
#[derive(Clone, Debug)]
pub struct SampleRatioTest {
    pub(crate) split: SplitEProcess<12>,
    pub(crate) picks: PerChannel<u64>,
    pub(crate) impossible: u64,
}

impl SampleRatioTest {
    /// Creates a test without calls.
    #[must_use]
    pub fn new() -> Self {
        let split = SplitEProcess::new(1.0, &OFF);
        Self { split, picks: PerChannel::default(), impossible: 0 }
    }

    /// Adds calls or keys that were assigned with this ratio.
    pub fn observe(&mut self, ratio: impl Into<SplitRatio>, picks: PerChannel<u64>) {
        let ratio = ratio.into();
        self.split.add_events(ratio, picks);
        self.observe_impossible(ratio.impossible(picks));
        self.picks = self.picks.saturating_add(picks);
    }

    pub(crate) const fn observe_impossible(&mut self, picks: u64) {
        self.impossible = self.impossible.saturating_add(picks);
    }

    /// Returns the number of calls or keys of each channel.
    #[must_use]
    pub const fn picks(&self) -> PerChannel<u64> {
        self.picks
    }

    /// Returns the number of calls or keys on a channel that their ratio excludes: canary calls at
    /// a weight of zero, and stable calls at a weight of 100 %.
    #[must_use]
    pub const fn impossible(&self) -> u64 {
        self.impossible
    }

    /// Returns the evidence that the split is broken, as a natural logarithm.
    ///
    /// A single [impossible](Self::impossible) call proves it. Instead of infinity, a large finite
    /// number is returned.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        let log_e = self.split.log_e();
        if self.impossible > 0 { log_e.max(CERTAIN) } else { log_e }
    }

    /// Returns the canary's share of the calls that could go to either channel, or `None` without
    /// any.
    #[must_use]
    pub fn observed(&self) -> Option<f64> {
        let all = self.events();
        (all > 0.0).then(|| float(self.split.total().canary) / all)
    }

    /// Returns the share of these calls that the weights requested.
    #[must_use]
    pub fn requested(&self) -> Option<f64> {
        let expected: f64 =
            self.split.events().map(|(ratio, events)| ratio.probability() * both(events)).sum();
        let all = self.events();
        (all > 0.0).then(|| expected / all)
    }

    /// Returns the odds of the canary's calls as a multiple of the requested odds.
    ///
    /// `alpha` has the same meaning as in
    /// [`Evidence::ratio_interval`](crate::statistics::Evidence::ratio_interval).
    #[must_use]
    pub fn ratio_interval(&self, alpha: f64) -> RatioInterval {
        RatioInterval::of(&self.split, alpha)
    }

    fn events(&self) -> f64 {
        both(self.split.total())
    }
}

fn both(events: PerChannel<u64>) -> f64 {
    float(events.stable) + float(events.canary)
}

impl Default for SampleRatioTest {
    fn default() -> Self {
        Self::new()
    }
}

/// The logarithm of 10^304, close to the largest `f64`.
pub(crate) const CERTAIN: f64 = 700.0;

/// The alternatives: factors for the odds. Odds that are off by 1 % are detected within about 10^6
/// calls at a weight of 50 %. A canary without any calls is detected within 1,000 calls at 1 %.
static OFF: Alternatives<12> =
    Alternatives::equal([0.01, 0.1, 0.5, 0.8, 0.95, 0.99, 1.01, 1.05, 1.25, 2.0, 10.0, 100.0]);

#[cfg(test)]
mod tests {
    use canary_core::Weight;

    use super::*;

    #[test]
    fn a_canary_without_calls_is_detected() {
        let mut test = SampleRatioTest::new();
        test.observe(Weight::from_percent(1), PerChannel { stable: 1_000, canary: 0 });
        assert!(test.log_e() > 100_f64.ln());
    }

    #[test]
    fn the_requested_share_is_no_evidence() {
        let mut test = SampleRatioTest::new();
        test.observe(Weight::from_percent(1), PerChannel { stable: 99_000, canary: 1_000 });
        test.observe(Weight::from_percent(50), PerChannel { stable: 5_000, canary: 5_000 });
        assert!(test.log_e() < 0.0);
        assert!((test.observed().unwrap() - test.requested().unwrap()).abs() < 1e-12);
    }

    #[test]
    fn one_impossible_call_is_detected() {
        for (weight, stable, canary) in [(Weight::ZERO, 9, 1), (Weight::FULL, 1, 9)] {
            let mut test = SampleRatioTest::new();
            test.observe(weight, PerChannel { stable, canary });
            assert_eq!(test.impossible(), 1);
            assert!(test.log_e() > 500.0 && test.log_e().exp().is_finite());
        }
    }

    #[test]
    fn calls_at_full_weight_are_no_evidence() {
        let mut test = SampleRatioTest::new();
        test.observe(Weight::FULL, PerChannel { stable: 0, canary: 1_000 });
        assert!(test.log_e().abs() < 1e-12);
        assert_eq!(test.observed(), None);
    }
}
