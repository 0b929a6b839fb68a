use canary_core::PerChannel;

use crate::{
    log_space::{float, ln_mean_exp},
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
            rate: match margin.is_limit() {
                true => rate_e_process::below_limit(margin.rate),
                false => rate_e_process::below(margin.rate),
            },
            trials: 0,
            adverse: 0,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.split.clear();
        (self.trials, self.adverse) = (0, 0);
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

    /// Estimates the number of further trials of the canary until the log e-value is `threshold`,
    /// if both rates stay as they are. Returns `None` if it does not get there, or is there.
    pub(crate) fn missing_trials(&self, threshold: f64) -> Option<u64> {
        let is_reached = |scale: f64| self.log_e_of_scaled(scale) >= threshold;
        let trials = float(self.trials);
        if self.trials == 0 || is_reached(1.0) || !is_reached(MOST_TRIALS / trials) {
            return None;
        }
        let (mut low, mut high) = (0.0, (MOST_TRIALS / trials).ln());
        for _ in 0..20 {
            let middle = f64::midpoint(low, high);
            if is_reached(middle.exp()) { high = middle } else { low = middle }
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 10^9")]
        let missing = (trials * (high.exp() - 1.0)).ceil() as u64;
        Some(missing)
    }

    /// Returns the log e-value of `scale` times as many events and trials.
    fn log_e_of_scaled(&self, scale: f64) -> f64 {
        let scaled = |log_ratio: f64| scale * log_ratio;
        let relative = self.split.log_ratios().map(scaled).log_e();
        ln_mean_exp([relative, self.rate.log_e_mapped(self.trials, self.adverse, scaled)])
    }

    /// Returns the log of the mean of both e-values.
    pub(crate) fn log_e(&self) -> f64 {
        ln_mean_exp([self.log_e_relative(), self.log_e_absolute()])
    }
}

/// An estimate of more trials than this is no use to anyone who waits for them.
const MOST_TRIALS: f64 = 1e9;
