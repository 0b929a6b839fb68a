use canary_core::PerChannel;

use crate::{
    coin::Coin,
    float::ln_mean_exp,
    margins::Margin,
    odds::{self, OddsBet},
    trials::{self, RateBet},
};

/// The bets that the canary is good enough: on how adverse events split, and on its own rate.
#[derive(Clone, Debug)]
pub(crate) struct Proof {
    pub(crate) odds: OddsBet<5>,
    rate: RateBet<4>,
    /// Trials of the canary, and those that went badly.
    pub(crate) trials: u64,
    pub(crate) adverse: u64,
}

impl Proof {
    pub(crate) fn new(margin: Margin) -> Self {
        Self {
            odds: OddsBet::new(margin.ratio, &odds::BETTER),
            rate: trials::below(margin.rate),
            trials: 0,
            adverse: 0,
        }
    }

    /// Adds events that were tossed at this coin.
    pub(crate) fn toss(&mut self, coin: Coin, events: PerChannel<u64>) {
        self.odds.observe(coin, events);
    }

    /// Adds trials of the canary, and those that went badly.
    pub(crate) const fn try_out(&mut self, trials: u64, adverse: u64) {
        self.trials = self.trials.saturating_add(trials);
        self.adverse = self.adverse.saturating_add(adverse);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.odds.merge(&other.odds);
        self.try_out(other.trials, other.adverse);
    }

    pub(crate) fn log_e_relative(&self) -> f64 {
        self.odds.log_e()
    }

    pub(crate) fn log_e_absolute(&self) -> f64 {
        self.rate.log_e(self.trials, self.adverse)
    }

    /// The mean of the two.
    pub(crate) fn log_e(&self) -> f64 {
        ln_mean_exp([self.log_e_relative(), self.log_e_absolute()])
    }
}
