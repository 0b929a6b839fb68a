use canary_core::PerChannel;

use crate::{
    log_space::{ln_mean_exp, times},
    split_ratio::SplitRatio,
};

/// A bet on which channel an event came from: an e-process against `rate_c = null * rate_s`.
///
/// Given that one event happened, it was the canary's with probability `p = w*null / (w*null + 1 -
/// w)`, whatever the rates are. Each alternative `r = null * factor` makes that `q`. The evidence
/// is the mean of the alternatives' likelihood ratios.
///
/// Only the number of events of each channel at each coin is kept. They are integers: the order and
/// the pieces in which events arrive cannot matter, not even in the last digit.
#[derive(Clone, Debug)]
pub(crate) struct SplitEProcess<const N: usize> {
    null: f64,
    factors: &'static [f64; N],
    rows: Vec<Row<N>>,
}

/// The events at one coin, and what each of them weighs.
#[derive(Clone, Debug)]
struct Row<const N: usize> {
    split: SplitRatio,
    events: PerChannel<u64>,
    weights: PerChannel<[f64; N]>,
}

impl<const N: usize> SplitEProcess<N> {
    pub(crate) const fn new(null: f64, factors: &'static [f64; N]) -> Self {
        Self { null, factors, rows: Vec::new() }
    }

    pub(crate) fn observe(&mut self, split: SplitRatio, events: PerChannel<u64>) {
        if split.is_certain() || events == PerChannel::default() {
            return;
        }
        match self.rows.binary_search_by_key(&split, |row| row.split) {
            Ok(at) => {
                let sum = &mut self.rows[at].events;
                *sum = sum.saturating_add(events);
            }
            Err(at) => self.rows.insert(at, Row { split, events, weights: self.weights(split) }),
        }
    }

    /// Adds the events of `other`, whatever it bet on.
    pub(crate) fn merge<const M: usize>(&mut self, other: &SplitEProcess<M>) {
        other.events().for_each(|(split, events)| self.observe(split, events));
    }

    pub(crate) fn log_e(&self) -> f64 {
        ln_mean_exp(self.weigh())
    }

    /// The same events, bet on with these alternatives to another null.
    pub(crate) fn against<const M: usize>(
        &self,
        null: f64,
        factors: &'static [f64; M],
    ) -> SplitEProcess<M> {
        let mut bet = SplitEProcess::new(null, factors);
        bet.merge(self);
        bet
    }

    /// The events at each coin that could have fallen either way.
    pub(crate) fn events(&self) -> impl Iterator<Item = (SplitRatio, PerChannel<u64>)> {
        self.rows.iter().map(|row| (row.split, row.events))
    }

    /// The events at all coins.
    pub(crate) fn total(&self) -> PerChannel<u64> {
        self.rows
            .iter()
            .map(|row| row.events)
            .fold(PerChannel::default(), PerChannel::saturating_add)
    }

    /// The evidence so far, to which events can be added without weighing all of them again.
    pub(crate) fn log_ratios(&self) -> SplitLogRatios<N> {
        SplitLogRatios { null: self.null, factors: self.factors, logs: self.weigh() }
    }

    fn weights(&self, split: SplitRatio) -> PerChannel<[f64; N]> {
        weights(self.null, self.factors, split)
    }

    /// The logarithm of each alternative's likelihood ratio.
    fn weigh(&self) -> [f64; N] {
        let mut logs = [0.0; N];
        for Row { events, weights, .. } in &self.rows {
            for (at, log) in logs.iter_mut().enumerate() {
                *log += times(events.canary, weights.canary[at]);
                *log += times(events.stable, weights.stable[at]);
            }
        }
        logs
    }
}

/// The evidence of an [`SplitEProcess`] at one moment, each alternative's apart.
#[derive(Clone, Debug)]
pub(crate) struct SplitLogRatios<const N: usize> {
    null: f64,
    factors: &'static [f64; N],
    logs: [f64; N],
}

impl<const N: usize> SplitLogRatios<N> {
    /// The evidence if `canary` more events of the canary's came at `coin`, and none of stable's.
    pub(crate) fn log_e_after(&self, split: SplitRatio, canary: u64) -> f64 {
        let mut logs = self.logs;
        if !split.is_certain() {
            let weights = weights(self.null, self.factors, split).canary;
            for (log, weight) in logs.iter_mut().zip(weights) {
                *log += times(canary, weight);
            }
        }
        ln_mean_exp(logs)
    }
}

/// `ln(q/p)` and `ln((1-q)/(1-p))` of each alternative.
///
/// Both are written as `ln(1 + x)`, so that the one that is nearly nothing, the canary's at a
/// weight near 1 and stable's at one near 0, keeps its digits.
fn weights<const N: usize>(
    null: f64,
    factors: &[f64; N],
    split: SplitRatio,
) -> PerChannel<[f64; N]> {
    let (w, v) = (split.probability(), split.complement());
    let under_null = w * null;
    PerChannel {
        canary: factors.map(|factor| (v * (factor - 1.0) / (under_null * factor + v)).ln_1p()),
        stable: factors.map(|factor| -(under_null * (factor - 1.0) / (under_null + v)).ln_1p()),
    }
}

/// How many times worse than allowed the canary may be. Small factors find small harm in many
/// events, large ones find large harm in few; 100 makes two failures enough at a weight of 1 %.
pub(crate) const WORSE: [f64; 8] = [1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0, 100.0];

/// How many times better than the margin the canary may be.
pub(crate) const BETTER: [f64; 5] = [1.0 / 1.25, 1.0 / 1.5, 1.0 / 2.0, 1.0 / 3.0, 1.0 / 5.0];
