use std::collections::BTreeMap;

use canary_core::PerChannel;

use crate::{log_space::float, split_ratio::SplitRatio};

/// What the judge did not get to see: a canary that hangs has no failures.
///
/// Of the canary's calls as large a part should be answered as of stable's, and other occasions
/// should come about as the coin says, unless the canary holds them back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Completeness {
    /// Calls that were given to each channel, and those of them that could be judged.
    pub(crate) calls: BTreeMap<SplitRatio, CallCounts>,
    /// Other occasions for an adverse event that came about: feedback, events, keys.
    pub(crate) trials: BTreeMap<SplitRatio, PerChannel<u64>>,
}

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
    pub(crate) fn add_calls(&mut self, split: SplitRatio, calls: CallCounts) {
        if calls == CallCounts::default() {
            return;
        }
        let sum = self.calls.entry(split).or_default();
        sum.given = sum.given.saturating_add(calls.given);
        sum.judged = sum.judged.saturating_add(calls.judged);
    }

    pub(crate) fn add_trials(&mut self, split: SplitRatio, trials: PerChannel<u64>) {
        if trials == PerChannel::default() {
            return;
        }
        let sum = self.trials.entry(split).or_default();
        *sum = sum.saturating_add(trials);
    }

    /// The calls of each coin that have no answer: in flight, given up, or lost.
    pub(crate) fn unanswered(&self) -> impl Iterator<Item = (SplitRatio, PerChannel<u64>)> {
        let unanswered = self.calls.iter().map(|(split, calls)| (*split, calls.unanswered()));
        unanswered.filter(|(_, calls)| *calls != PerChannel::default())
    }

    /// The same, at all coins together.
    pub(crate) fn all_unanswered(&self) -> PerChannel<u64> {
        self.sum(|calls| calls.unanswered())
    }

    pub(crate) fn given(&self) -> PerChannel<u64> {
        self.sum(|calls| calls.given)
    }

    pub(crate) fn judged(&self) -> PerChannel<u64> {
        self.sum(|calls| calls.judged)
    }

    /// The part that could be judged of what is to be expected of the canary, going by stable:
    /// about 1 if the canary holds nothing back. It is the least of calls and occasions, and none
    /// if neither tells.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let parts = [self.calls_ratio(), self.trials_ratio()];
        parts.into_iter().flatten().min_by(f64::total_cmp)
    }

    /// As large a part of the canary's calls as of stable's, at each coin, should have an answer.
    fn calls_ratio(&self) -> Option<f64> {
        let (mut judged, mut expected) = (0.0, 0.0);
        for CallCounts { given, judged: answered } in self.calls.values() {
            if given.stable > 0 {
                let part_of_stable = float(answered.stable) / float(given.stable);
                expected += float(given.canary) * part_of_stable.min(1.0);
                judged += float(answered.canary);
            }
        }
        (expected > 0.0).then(|| judged / expected)
    }

    /// At each coin `canary * (1 - w)` and `stable * w` are the same on average. Where the coin is
    /// certain both are zero.
    fn trials_ratio(&self) -> Option<f64> {
        let (mut canary, mut stable) = (0.0, 0.0);
        for (split, trials) in &self.trials {
            canary += float(trials.canary) * split.complement();
            stable += float(trials.stable) * split.probability();
        }
        (stable > 0.0).then(|| canary / stable)
    }

    fn sum(&self, of: impl Fn(&CallCounts) -> PerChannel<u64>) -> PerChannel<u64> {
        self.calls.values().map(of).fold(PerChannel::default(), PerChannel::saturating_add)
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
    fn the_part_that_could_be_judged_is_one_if_nothing_is_held_back() {
        let mut completeness = Completeness::default();
        assert_eq!(completeness.ratio(), None);
        for (percent, judged) in [(1, of(990, 10)), (50, of(500, 500)), (100, of(0, 7_000))] {
            let calls = CallCounts { given: judged, judged };
            completeness.add_calls(SplitRatio::of(Weight::from_percent(percent)), calls);
        }
        assert!((completeness.ratio().unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(completeness.unanswered().count(), 0);
    }

    #[test]
    fn occasions_that_do_not_come_about_are_missed() {
        let mut completeness = Completeness::default();
        completeness.add_trials(SplitRatio::of(Weight::from_percent(10)), of(9_000, 500));
        assert!((completeness.ratio().unwrap() - 0.5).abs() < 1e-12);
    }

    #[test]
    fn calls_at_a_weight_of_everything_do_not_make_up_for_those_that_hang() {
        let mut completeness = Completeness::default();
        let ten = SplitRatio::of(Weight::from_percent(10));
        completeness.add_calls(ten, CallCounts { given: of(9_000, 1_000), judged: of(9_000, 1) });
        let everything = CallCounts { given: of(0, 9_000), judged: of(0, 9_000) };
        completeness.add_calls(SplitRatio::of(Weight::FULL), everything);
        assert!(completeness.ratio().unwrap() < 0.002);
        assert_eq!(completeness.unanswered().collect::<Vec<_>>(), [(ten, of(0, 999))]);
    }
}
