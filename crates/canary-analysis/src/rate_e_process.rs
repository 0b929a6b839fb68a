use crate::log_space::{ln_mean_exp, times};

/// An e-process against one fixed rate of adverse canary calls.
///
/// The e-value is the mean of the likelihood ratios of `N` alternative rates to that rate, the
/// null.
#[derive(Clone, Debug)]
pub(crate) struct RateEProcess<const N: usize> {
    ln_adverse: [f64; N],
    ln_good: [f64; N],
}

impl<const N: usize> RateEProcess<N> {
    fn new(null: f64, alternatives: [f64; N]) -> Self {
        Self {
            ln_adverse: alternatives.map(|rate| (rate / null).ln()),
            ln_good: alternatives.map(|rate| (-rate).ln_1p() - (-null).ln_1p()),
        }
    }

    /// Returns the log e-value after `calls` calls, `adverse` of them adverse.
    pub(crate) fn log_e(&self, calls: u64, adverse: u64) -> f64 {
        self.log_e_mapped(calls, adverse, |log_ratio| log_ratio)
    }

    /// Returns the log e-value with a change to the log-likelihood ratio of each alternative.
    pub(crate) fn log_e_mapped(
        &self,
        calls: u64,
        adverse: u64,
        change: impl FnMut(f64) -> f64,
    ) -> f64 {
        let good = calls.saturating_sub(adverse);
        let mut logs = self.ln_adverse.map(|log| times(adverse, log));
        for (log, ln_good) in logs.iter_mut().zip(self.ln_good) {
            *log += times(good, ln_good);
        }
        ln_mean_exp(logs.map(change))
    }
}

/// Tests a rate of at most `floor` against multiples of it, up to 0.9.
pub(crate) fn above(floor: f64) -> RateEProcess<4> {
    RateEProcess::new(floor, [2.0, 5.0, 20.0, 100.0].map(|factor| (floor * factor).min(0.9)))
}

/// Tests a rate of at most `limit`. The limit itself matters, so that the alternatives are closer
/// than those to a floor below which harm is ignored.
pub(crate) fn above_limit(limit: f64) -> RateEProcess<4> {
    RateEProcess::new(limit, [1.2, 1.7, 4.0, 30.0].map(|factor| (limit * factor).min(0.9)))
}

/// Tests a rate of at least `limit`, as [`above_limit`] does.
pub(crate) fn below_limit(limit: f64) -> RateEProcess<4> {
    RateEProcess::new(limit, [limit / 1.2, limit / 1.7, limit / 4.0, 0.0])
}

/// Tests a rate of at least `margin` against fractions of it, down to 0.
pub(crate) fn below(margin: f64) -> RateEProcess<4> {
    RateEProcess::new(margin, [margin / 2.0, margin / 5.0, margin / 20.0, 0.0])
}
