use canary_core::PerChannel;

use crate::{
    interval::RatioInterval, log_space::float, split_e_process::SplitEProcess,
    split_ratio::SplitRatio,
};

/// The evidence that calls are not split as the weight asks: a sample-ratio-mismatch test.
///
/// # Method
///
/// Every call is a toss with the known coin of its weight. The e-process bets that the odds are
/// some factor off, up or down, and is at most 1 on average while calls are assigned by the weight,
/// each by itself. A split that is broken makes every comparison of the channels worthless, so the
/// rollout has to stop. Sticky users are not calls: count each key once, see
/// [`KeyLedger`](crate::KeyLedger).
///
/// Source: Lindon and Malek, "Anytime-Valid Inference for Multinomial Count Data" (NeurIPS 2022);
/// the mixture over factors is ours, so that the odds may be compared over changes of the weight.
#[derive(Clone, Debug)]
pub struct SampleRatioTest {
    pub(crate) split: SplitEProcess<12>,
    pub(crate) picks: PerChannel<u64>,
    pub(crate) impossible: u64,
}

impl SampleRatioTest {
    /// No calls yet.
    #[must_use]
    pub fn new() -> Self {
        let split = SplitEProcess::new(1.0, &OFF);
        Self { split, picks: PerChannel::default(), impossible: 0 }
    }

    /// Adds calls, or keys, that were assigned by this coin.
    pub fn observe(&mut self, ratio: impl Into<SplitRatio>, picks: PerChannel<u64>) {
        let ratio = ratio.into();
        self.split.observe(ratio, picks);
        self.observe_impossible(ratio.impossible(picks));
        self.picks = self.picks.saturating_add(picks);
    }

    pub(crate) const fn observe_impossible(&mut self, picks: u64) {
        self.impossible = self.impossible.saturating_add(picks);
    }

    /// The calls, or keys, of each channel.
    #[must_use]
    pub const fn picks(&self) -> PerChannel<u64> {
        self.picks
    }

    /// Calls, or keys, on a channel to which their coin could not have sent them: the canary's at a
    /// weight of zero, and stable's at one of 100 %.
    #[must_use]
    pub const fn impossible(&self) -> u64 {
        self.impossible
    }

    /// The evidence that the split is broken, as a natural logarithm.
    ///
    /// What is [impossible](Self::impossible) happens once only if it is. Such a call is evidence
    /// without end, of which a finite number is told.
    #[must_use]
    pub fn log_e(&self) -> f64 {
        let log_e = self.split.log_e();
        if self.impossible > 0 { log_e.max(CERTAIN) } else { log_e }
    }

    /// The canary's share of the calls that could have gone either way; none before the first.
    #[must_use]
    pub fn observed(&self) -> Option<f64> {
        let all = self.events();
        (all > 0.0).then(|| float(self.split.total().canary) / all)
    }

    /// The share that the weights asked for of these calls.
    #[must_use]
    pub fn requested(&self) -> Option<f64> {
        let expected: f64 =
            self.split.events().map(|(split, events)| split.probability() * both(events)).sum();
        let all = self.events();
        (all > 0.0).then(|| expected / all)
    }

    /// The odds of the canary's picks as a multiple of those asked. As
    /// [`Evidence::ratio_interval`](crate::Evidence::ratio_interval) has it, whatever `alpha`.
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

/// The logarithm of 10^304, near the end of what an `f64` can hold.
const CERTAIN: f64 = 700.0;

/// How far the odds may be off. One per cent is found within some 10^6 calls at a weight of 50 %; a
/// canary that gets nothing, or everything, within a few hundred calls at 1 %.
const OFF: [f64; 12] = [0.01, 0.1, 0.5, 0.8, 0.95, 0.99, 1.01, 1.05, 1.25, 2.0, 10.0, 100.0];

#[cfg(test)]
mod tests {
    use canary_core::Weight;

    use super::*;

    #[test]
    fn a_canary_that_gets_no_calls_is_found() {
        let mut share = SampleRatioTest::new();
        share.observe(Weight::from_percent(1), PerChannel { stable: 1_000, canary: 0 });
        assert!(share.log_e() > 100_f64.ln());
    }

    #[test]
    fn a_share_as_asked_is_no_evidence() {
        let mut share = SampleRatioTest::new();
        share.observe(Weight::from_percent(1), PerChannel { stable: 99_000, canary: 1_000 });
        share.observe(Weight::from_percent(50), PerChannel { stable: 5_000, canary: 5_000 });
        assert!(share.log_e() < 0.0);
        assert!((share.observed().unwrap() - share.requested().unwrap()).abs() < 1e-12);
    }

    #[test]
    fn one_call_where_none_could_be_is_found() {
        for (weight, stable, canary) in [(Weight::ZERO, 9, 1), (Weight::FULL, 1, 9)] {
            let mut share = SampleRatioTest::new();
            share.observe(weight, PerChannel { stable, canary });
            assert_eq!(share.impossible(), 1);
            assert!(share.log_e() > 500.0 && share.log_e().exp().is_finite());
        }
    }

    #[test]
    fn weights_that_leave_nothing_to_chance_are_no_evidence() {
        let mut share = SampleRatioTest::new();
        share.observe(Weight::FULL, PerChannel { stable: 0, canary: 1_000 });
        assert!(share.log_e().abs() < 1e-12);
        assert_eq!(share.observed(), None);
    }
}
