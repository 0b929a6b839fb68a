use super::ChannelComparison;
use crate::{evidence::EvidenceLogRatios, log_space::ln_sum_exp, split_ratio::SplitRatio};

/// The log-likelihood ratios of a [`ChannelComparison`].
#[derive(Clone, Debug)]
pub(crate) struct ComparisonLogRatios {
    /// The logarithm of the part of the wealth, the log ratios, and whether events are added to
    /// them now.
    parts: Vec<(f64, EvidenceLogRatios, bool)>,
    ln_unused_part: Option<f64>,
}

impl ComparisonLogRatios {
    /// Returns the evidence for worse after `canary` more adverse canary calls at `ratio`, and no
    /// other call.
    pub(crate) fn log_e_worse_after(&self, ratio: SplitRatio, canary: u64) -> f64 {
        let logs = self.parts.iter().map(|(part, logs, takes_events)| {
            part + logs.log_e_worse_after(ratio, if *takes_events { canary } else { 0 })
        });
        ln_sum_exp(&logs.chain(self.ln_unused_part).collect::<Vec<_>>())
    }
}

impl ChannelComparison {
    /// Returns the evidence for worse in a form that takes more events at a cost independent of the
    /// number of weights.
    pub(crate) fn log_ratios(&self) -> ComparisonLogRatios {
        ComparisonLogRatios {
            parts: self
                .parts()
                .map(|(part, evidence)| {
                    let takes_events = self.is_warming_up() == self.is_brake(evidence);
                    (part, evidence.log_ratios(), takes_events)
                })
                .collect(),
            ln_unused_part: self.ln_unused_part(),
        }
    }
}
