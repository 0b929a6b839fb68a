use canary_core::PerChannel;

use crate::{
    log_space::ln_mean_exp,
    margins::Margin,
    rate_e_process::{self, RateEProcess},
    split_e_process::{self, SplitEProcess},
    split_ratio::SplitRatio,
};

/// The bets that the canary is good enough: on how adverse events split, and on its own rate.
#[derive(Clone, Debug)]
pub(crate) struct NonInferiority {
    pub(crate) split: SplitEProcess<5>,
    rate: RateEProcess<4>,
    /// Trials of the canary, and those that went badly.
    pub(crate) trials: u64,
    pub(crate) adverse: u64,
}

impl NonInferiority {
    pub(crate) fn new(margin: Margin) -> Self {
        Self {
            split: SplitEProcess::new(margin.ratio, &split_e_process::BETTER),
            rate: rate_e_process::below(margin.rate),
            trials: 0,
            adverse: 0,
        }
    }

    /// Adds events that were tossed at this coin.
    pub(crate) fn add_events(&mut self, split: SplitRatio, events: PerChannel<u64>) {
        self.split.observe(split, events);
    }

    /// Adds trials of the canary, and those that went badly.
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

    /// The mean of the two.
    pub(crate) fn log_e(&self) -> f64 {
        ln_mean_exp([self.log_e_relative(), self.log_e_absolute()])
    }
}
