use std::collections::BTreeMap;

use canary_core::PerChannel;

use crate::{log_space::float, split_ratio::SplitRatio};

/// The completeness of the canary's results. A canary that hangs has no failures, only missing
/// results.
///
/// The canary should have a response to as large a fraction of its calls as stable, and its share
/// of other trials should follow the split ratio.
#[derive(Clone, Debug, Default)]
pub(crate) struct Completeness {
    pub(crate) calls: BTreeMap<SplitRatio, CallCounts>,
    /// Trials other than calls: feedback, events, keys.
    pub(crate) trials: BTreeMap<SplitRatio, PerChannel<u64>>,
}

/// Calls that were given to the channels, and those that have a result.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct CallCounts {
    pub(crate) given: PerChannel<u64>,
    pub(crate) judged: PerChannel<u64>,
}

impl CallCounts {
    fn unanswered(self) -> PerChannel<u64> {
        PerChannel::from_fn(|channel| self.given[channel].saturating_sub(self.judged[channel]))
    }
}

impl Completeness {
    pub(crate) fn add_calls(&mut self, ratio: SplitRatio, calls: CallCounts) {
        if calls == CallCounts::default() {
            return;
        }
        let sum = self.calls.entry(ratio).or_default();
        sum.given = sum.given.saturating_add(calls.given);
        sum.judged = sum.judged.saturating_add(calls.judged);
    }

    /// Adds calls that are in flight, less those that are no longer.
    pub(crate) fn add_open_calls(
        &mut self,
        ratio: SplitRatio,
        begun: PerChannel<u64>,
        settled: PerChannel<u64>,
    ) {
        let sum = self.calls.entry(ratio).or_default();
        sum.given = PerChannel::from_fn(|channel| {
            sum.given[channel].saturating_add(begun[channel]).saturating_sub(settled[channel])
        });
        if *sum == CallCounts::default() {
            self.calls.remove(&ratio);
        }
    }

    pub(crate) fn add_trials(&mut self, ratio: SplitRatio, trials: PerChannel<u64>) {
        if trials == PerChannel::default() {
            return;
        }
        let sum = self.trials.entry(ratio).or_default();
        *sum = sum.saturating_add(trials);
    }

    /// Returns the calls at each split ratio that have no result: in flight, cancelled or lost.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = (SplitRatio, PerChannel<u64>)> {
        let unanswered = self.calls.iter().map(|(ratio, calls)| (*ratio, calls.unanswered()));
        unanswered.filter(|(_, calls)| *calls != PerChannel::default())
    }

    pub(crate) fn all_unanswered(&self) -> PerChannel<u64> {
        self.sum(|calls| calls.unanswered())
    }

    pub(crate) fn given(&self) -> PerChannel<u64> {
        self.sum(|calls| calls.given)
    }

    pub(crate) fn judged(&self) -> PerChannel<u64> {
        self.sum(|calls| calls.judged)
    }

    /// Returns the part of its calls of each channel that has no result, `0.0..=1.0`.
    pub(crate) fn parts_unanswered(&self) -> PerChannel<f64> {
        let (without, given) = (self.all_unanswered(), self.given());
        PerChannel::from_fn(|channel| float(without[channel]) / float(given[channel].max(1)))
    }

    /// Returns the canary's calls with a result as a fraction of those expected from stable's: about
    /// 1 if no result is missing, and `None` if no result is expected.
    ///
    /// At each split ratio, the same fraction of calls should have a result on both channels.
    pub(crate) fn fraction_of_calls(&self) -> Option<f64> {
        let (mut judged, mut expected) = (0.0, 0.0);
        for counts in self.calls.values().filter(|counts| counts.given.stable > 0) {
            let of_stable = float(counts.judged.stable) / float(counts.given.stable);
            expected += float(counts.given.canary) * of_stable.min(1.0);
            judged += float(counts.judged.canary);
        }
        (expected > 0.0).then(|| judged / expected)
    }

    /// Returns the canary's other trials as a fraction of those expected from stable's, as above.
    ///
    /// At each split ratio `w`, `canary * (1 - w)` and `stable * w` are equal on average. Both are
    /// zero if the ratio is certain.
    pub(crate) fn fraction_of_trials(&self) -> Option<f64> {
        let (mut canary, mut stable) = (0.0, 0.0);
        for (ratio, trials) in &self.trials {
            canary += float(trials.canary) * ratio.complement();
            stable += float(trials.stable) * ratio.probability();
        }
        (stable > 0.0).then(|| canary / stable)
    }

    fn sum(&self, count: impl Fn(&CallCounts) -> PerChannel<u64>) -> PerChannel<u64> {
        self.calls.values().map(count).fold(PerChannel::default(), PerChannel::saturating_add)
    }
}

#[cfg(test)]
mod tests {
    use canary_core::Weight;

    use super::*;

    fn of(stable: u64, canary: u64) -> PerChannel<u64> {
        PerChannel { stable, canary }
    }

    #[test]
    fn the_fraction_is_one_if_no_result_is_missing() {
        let mut completeness = Completeness::default();
        assert_eq!(completeness.fraction_of_calls(), None);
        for (percent, judged) in [(1, of(990, 10)), (50, of(500, 500)), (100, of(0, 7_000))] {
            let calls = CallCounts { given: judged, judged };
            completeness.add_calls(SplitRatio::of(Weight::from_percent(percent)), calls);
        }
        assert!((completeness.fraction_of_calls().unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(completeness.unanswered().count(), 0);
    }

    #[test]
    fn missing_trials_lower_the_fraction() {
        let mut completeness = Completeness::default();
        completeness.add_trials(SplitRatio::of(Weight::from_percent(10)), of(9_000, 500));
        assert!((completeness.fraction_of_trials().unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn calls_at_full_weight_do_not_make_up_for_hanging_calls() {
        let mut completeness = Completeness::default();
        let ten = SplitRatio::of(Weight::from_percent(10));
        completeness.add_calls(ten, CallCounts { given: of(9_000, 1_000), judged: of(9_000, 1) });
        let full = CallCounts { given: of(0, 9_000), judged: of(0, 9_000) };
        completeness.add_calls(SplitRatio::of(Weight::FULL), full);
        assert!(completeness.fraction_of_calls().unwrap() < 0.002);
        assert_eq!(completeness.unanswered().collect::<Vec<_>>(), [(ten, of(0, 999))]);
    }
}
