use canary_core::PerChannel;

use crate::{
    log_space::ln_mean_exp,
    margins::Margin,
    rate_e_process::{self, RateEProcess},
    split_e_process::{BETTER, SplitEProcess},
    split_ratio::SplitRatio,
};

/// The e-processes for "the canary is good enough": on the split of events, and on the canary's
/// rate.
#[derive(Clone, Debug)]
pub(crate) struct NonInferiority {
    pub(crate) split: SplitEProcess<5>,
    rate: RateEProcess<4>,
    /// Trials of the canary, and the adverse ones among them.
    pub(crate) trials: u64,
    pub(crate) adverse: u64,
}

impl NonInferiority {
    pub(crate) fn new(margin: Margin) -> Self {
        Self {
            split: SplitEProcess::new(margin.ratio, &BETTER),
            rate: rate_e_process::below(margin.rate),
            trials: 0,
            adverse: 0,
        }
    }

    pub(crate) fn add_events(&mut self, ratio: SplitRatio, events: PerChannel<u64>) {
        self.split.add_events(ratio, events);
    }

    pub(crate) const fn add_trials(&mut self, trials: u64, adverse: u64) {
        self.trials = self.trials.saturating_add(trials);
        self.adverse = self.adverse.saturating_add(adverse);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.split.merge(&other.split);
        self.add_trials(other.trials, other.adverse);
    }

    pub(crate) fn log_e_relative(&self) -> f64 {
        self.split.log_e()
    }

    pub(crate) fn log_e_absolute(&self) -> f64 {
        self.rate.log_e(self.trials, self.adverse)
    }

    /// Returns the log of the mean of both e-values.
    pub(crate) fn log_e(&self) -> f64 {
        ln_mean_exp([self.log_e_relative(), self.log_e_absolute()])
    }
}
