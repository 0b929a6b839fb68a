use canary_core::Weight;

use crate::{
    coin::Coin,
    float::{ln_mean_exp, times},
};

/// A bet on which channel an event came from: an e-process against `rate_c = null * rate_s`.
///
/// Given that one event happened, it was the canary's with probability `p = w*null / (w*null + 1 - w)`,
/// whatever the rates are. Each alternative `r = null * factor` makes that `q`. The evidence is the mean
/// of the alternatives' likelihood ratios. With `d = ln((1-q)/(1-p))` an event of stable's weighs `d`
/// and one of the canary's `ln factor + d`, so that only the canary's total and the number of events at
/// each coin need to be kept. Both are integers: the order and the pieces in which events arrive cannot
/// matter, not even in the last digit.
#[derive(Clone, Debug)]
pub(crate) struct OddsBet<const N: usize> {
    null: f64,
    factors: &'static [f64; N],
    ln_factors: [f64; N],
    canary: u64,
    rows: Vec<Row<N>>,
}

/// The events at one coin, and what each weighs beyond `ln factor`.
#[derive(Clone, Debug)]
struct Row<const N: usize> {
    coin: Coin,
    events: u64,
    weights: [f64; N],
}

impl<const N: usize> OddsBet<N> {
    pub(crate) fn new(null: f64, factors: &'static [f64; N]) -> Self {
        Self { null, factors, ln_factors: factors.map(f64::ln), canary: 0, rows: Vec::new() }
    }

    pub(crate) fn observe(&mut self, coin: Coin, canary: u64, stable: u64) {
        if !coin.is_certain() {
            self.add(coin, canary.saturating_add(stable));
            self.canary = self.canary.saturating_add(canary);
        }
    }

    /// Adds the events of `other`, whatever it bet on.
    pub(crate) fn merge<const M: usize>(&mut self, other: &OddsBet<M>) {
        self.canary = self.canary.saturating_add(other.canary);
        for (coin, events) in other.events() {
            self.add(coin, events);
        }
    }

    fn add(&mut self, coin: Coin, events: u64) {
        if events == 0 {
            return;
        }
        match self.rows.binary_search_by_key(&coin, |row| row.coin) {
            Ok(at) => self.rows[at].events = self.rows[at].events.saturating_add(events),
            Err(at) => self.rows.insert(at, Row { coin, events, weights: self.weights(coin) }),
        }
    }

    pub(crate) fn log_e(&self) -> f64 {
        self.log_e_after(Coin::of(Weight::ZERO), 0)
    }

    /// The evidence if `canary` more events of the canary's came at `coin`, and none of stable's.
    pub(crate) fn log_e_after(&self, coin: Coin, canary: u64) -> f64 {
        let canary = if coin.is_certain() { 0 } else { canary };
        let total = self.canary.saturating_add(canary);
        let mut logs = self.ln_factors.map(|ln_factor| times(total, ln_factor));
        for row in &self.rows {
            for (log, weight) in logs.iter_mut().zip(row.weights) {
                *log += times(row.events, weight);
            }
        }
        if canary > 0 {
            for (log, weight) in logs.iter_mut().zip(self.weights(coin)) {
                *log += times(canary, weight);
            }
        }
        ln_mean_exp(logs)
    }

    /// The same events, bet on with these alternatives to another null.
    pub(crate) fn against<const M: usize>(
        &self,
        null: f64,
        factors: &'static [f64; M],
    ) -> OddsBet<M> {
        let mut bet = OddsBet::new(null, factors);
        bet.merge(self);
        bet
    }

    /// The canary's events, at coins that could have fallen either way.
    pub(crate) const fn canary(&self) -> u64 {
        self.canary
    }

    /// The events of both channels at each such coin.
    pub(crate) fn events(&self) -> impl Iterator<Item = (Coin, u64)> {
        self.rows.iter().map(|row| (row.coin, row.events))
    }

    fn weights(&self, coin: Coin) -> [f64; N] {
        weights(self.null, self.factors, coin)
    }
}

/// `ln((1-q)/(1-p))` of each alternative, by way of `1 + w*(r-1)`, which loses nothing at small weights.
fn weights<const N: usize>(null: f64, factors: &[f64; N], coin: Coin) -> [f64; N] {
    let w = coin.probability();
    let under_null = (w * (null - 1.0)).ln_1p();
    factors.map(|factor| under_null - (w * (null * factor - 1.0)).ln_1p())
}

/// How many times worse than allowed the canary may be. Small factors find small harm in many events,
/// large ones find large harm in few; 100 makes two failures enough at a weight of 1 %.
pub(crate) const WORSE: [f64; 8] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];

/// How many times better than the margin the canary may be.
pub(crate) const BETTER: [f64; 5] = [1.0 / 1.25, 1.0 / 1.5, 1.0 / 2.0, 1.0 / 3.0, 1.0 / 5.0];
