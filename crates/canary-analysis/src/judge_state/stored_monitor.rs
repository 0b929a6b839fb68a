use canary_core::{Latencies, LatencyBucket};

use super::{
    block_bets::StoredBlockBets,
    completeness::StoredCompleteness,
    evidence::{StoredEvidenceCounts, channels},
    margins,
    outage_filter::StoredOutageFilter,
    restarts::StoredRestarts,
    unanswered::StoredAge,
    warm_up::StoredWarmUp,
    watches,
};
#[cfg(feature = "serde")]
use super::{first_step, is_first};
#[cfg(feature = "serde")]
use crate::stored_default::is_default;
use crate::{
    background::BackgroundState,
    monitor::Monitor,
    monitor_state::{MonitorEvidence, MonitorState},
    split_ratio::SplitRatio,
};

/// A monitor and its evidence.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct StoredMonitor {
    pub(super) watches: String,
    /// Ratio and rate of `worse`, then of `good`.
    pub(super) margins: [f64; 4],
    #[cfg_attr(
        feature = "serde",
        serde(rename = "step", default = "first_step", skip_serializing_if = "is_first")
    )]
    pub(super) starting_step: usize,
    whole: StoredEvidenceCounts,
    // Short names keep the document of a long plan small.
    #[cfg_attr(
        feature = "serde",
        serde(rename = "outages", default, skip_serializing_if = "is_default")
    )]
    outage_filter: StoredOutageFilter,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    pub(super) background: BackgroundState,
    #[cfg_attr(feature = "serde", serde(default, skip_serializing_if = "is_default"))]
    blocks: StoredBlockBets,
    restarts: Option<StoredRestarts>,
    /// Stable's calls by latency bucket. Empty if the monitor does not need them.
    stable_latencies: Vec<u64>,
    refused_keys: u64,
    impossible: u64,
    #[cfg_attr(feature = "serde", serde(rename = "answers"))]
    completeness: StoredCompleteness,
    /// By age, for unanswered calls.
    ages: Vec<StoredAge>,
    warm_up: Option<StoredWarmUp>,
    /// Canary buckets, all buckets, then trials of stable and canary. Not for the share.
    trials: Vec<(u32, u32, [u64; 2])>,
    holds_healthy: bool,
}

impl StoredMonitor {
    pub(super) fn of(state: &MonitorState) -> Self {
        let stable = &state.stable;
        let calls = || LatencyBucket::all().map(|bucket| stable.calls(bucket)).collect();
        let (mut outage_filter, mut background) = Default::default();
        let (mut blocks, mut completeness) = Default::default();
        let mut restarts = None;
        let whole = match &state.evidence {
            MonitorEvidence::Comparison(comparison) => {
                restarts = comparison.restarts.as_ref().map(StoredRestarts::of);
                outage_filter = StoredOutageFilter::of(&comparison.outage_filter);
                background = comparison.background.state.clone();
                blocks = StoredBlockBets::of(&comparison.block_bets);
                completeness = StoredCompleteness::of(&comparison.completeness);
                StoredEvidenceCounts::of(&comparison.whole)
            }
            MonitorEvidence::SampleRatio(test) => StoredEvidenceCounts::of_sample_ratio(test),
            MonitorEvidence::Unanswered(evidence) => {
                background = evidence.background().clone();
                blocks = StoredBlockBets::of(&evidence.ages[0].block_bets);
                StoredEvidenceCounts::default()
            }
        };
        let comparison = match &state.evidence {
            MonitorEvidence::Comparison(comparison) => Some(comparison),
            MonitorEvidence::SampleRatio(_) | MonitorEvidence::Unanswered(_) => None,
        };
        let trials = comparison.iter().flat_map(|comparison| &comparison.trials);
        let impossible = match &state.evidence {
            MonitorEvidence::Comparison(_) | MonitorEvidence::Unanswered(_) => state.impossible,
            MonitorEvidence::SampleRatio(test) => test.impossible,
        };
        let ages = match &state.evidence {
            MonitorEvidence::Unanswered(evidence) => {
                evidence.ages.iter().map(StoredAge::of).collect()
            }
            _ => Vec::new(),
        };
        Self {
            watches: watches(&state.monitor),
            margins: margins(&state.monitor),
            starting_step: state.monitor.starting_step(),
            whole,
            outage_filter,
            background,
            blocks,
            restarts,
            stable_latencies: if stable.total() > 0 { calls() } else { Vec::new() },
            refused_keys: state.refused,
            impossible,
            completeness,
            ages,
            warm_up: comparison.and_then(|comparison| StoredWarmUp::of(comparison)),
            trials: trials
                .map(|(ratio, trials)| {
                    let trials = [trials.stable, trials.canary];
                    (ratio.canary_buckets(), ratio.all_buckets(), trials)
                })
                .collect(),
            holds_healthy: state.holds_healthy,
        }
    }

    /// Returns `None` if the counts contradict each other.
    pub(super) fn restore(&self, monitor: &Monitor) -> Option<MonitorState> {
        let mut state = MonitorState::new(monitor.clone());
        state.refused = self.refused_keys;
        state.impossible = self.impossible;
        state.stable = self.latencies()?;
        state.holds_healthy = self.holds_healthy;
        if !self.background.is_valid(monitor.unit()) {
            return None;
        }
        match &mut state.evidence {
            MonitorEvidence::Comparison(comparison) => {
                comparison.whole = self.whole.restore(monitor)?;
                comparison.background.state = self.background.clone();
                comparison.outage_filter = self.outage_filter.restore(
                    monitor,
                    &comparison.whole,
                    &comparison.background,
                )?;
                comparison.block_bets = self.blocks.restore()?;
                comparison.completeness = self.completeness.restore()?;
                if let Some(warm_up) = &self.warm_up {
                    comparison.warm_up = Some(warm_up.restore(monitor)?.into());
                }
                for (canary, all, trials) in &self.trials {
                    let ratio = SplitRatio::try_new(*canary, *all)?;
                    comparison.trials.insert(ratio, channels(*trials));
                }
                if let Some(restarts) = &self.restarts {
                    comparison.restarts = Some(restarts.restore(monitor)?);
                }
            }
            MonitorEvidence::SampleRatio(test) => {
                *test = self.whole.restore_sample_ratio()?;
                test.impossible = std::mem::take(&mut state.impossible);
            }
            MonitorEvidence::Unanswered(evidence) => {
                if self.ages.len() != evidence.ages.len() {
                    return None;
                }
                for (comparison, stored) in evidence.ages.iter_mut().zip(&self.ages) {
                    stored.restore(monitor, comparison)?;
                }
                evidence.set_background(self.background.clone());
                evidence.ages[0].block_bets = self.blocks.restore()?;
            }
        }
        Some(state)
    }

    fn latencies(&self) -> Option<Latencies> {
        let mut latencies = Latencies::default();
        if !self.stable_latencies.is_empty() {
            if self.stable_latencies.len() != LatencyBucket::COUNT {
                return None;
            }
            for (bucket, calls) in LatencyBucket::all().zip(&self.stable_latencies) {
                latencies.add(bucket, *calls);
            }
        }
        Some(latencies)
    }
}
