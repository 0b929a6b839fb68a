use super::evidence::channels;
use crate::{
    completeness::{CallCounts, Completeness},
    split_ratio::SplitRatio,
};

/// The counts of calls and other trials.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct StoredCompleteness {
    /// Canary buckets, all buckets, then given and judged calls of (stable, canary).
    calls: Vec<(u32, u32, [u64; 2], [u64; 2])>,
    trials: Vec<(u32, u32, [u64; 2])>,
}

impl StoredCompleteness {
    pub(super) fn of(completeness: &Completeness) -> Self {
        let calls = completeness.calls.iter().map(|(split, CallCounts { given, judged })| {
            let (given, judged) = ([given.stable, given.canary], [judged.stable, judged.canary]);
            (split.canary_buckets(), split.all_buckets(), given, judged)
        });
        let trials = completeness.trials.iter().map(|(split, both)| {
            (split.canary_buckets(), split.all_buckets(), [both.stable, both.canary])
        });
        Self { calls: calls.collect(), trials: trials.collect() }
    }

    /// Returns `None` if a split ratio is invalid.
    pub(super) fn restore(&self) -> Option<Completeness> {
        let mut completeness = Completeness::default();
        for (canary, all, given, judged) in &self.calls {
            let calls = CallCounts { given: channels(*given), judged: channels(*judged) };
            completeness.add_calls(SplitRatio::try_new(*canary, *all)?, calls);
        }
        for (canary, all, trials) in &self.trials {
            completeness.add_trials(SplitRatio::try_new(*canary, *all)?, channels(*trials));
        }
        Some(completeness)
    }
}
