use crate::log_space::{ln_mean_exp, times};

/// A bet on how often the canary's calls go badly: an e-process against one fixed rate.
///
/// Each alternative rate has its likelihood ratio, and the evidence is their mean.
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

    /// The evidence of `calls` calls, of which `adverse` went badly.
    pub(crate) fn log_e(&self, calls: u64, adverse: u64) -> f64 {
        let good = calls.saturating_sub(adverse);
        let mut logs = self.ln_adverse.map(|log| times(adverse, log));
        for (log, ln_good) in logs.iter_mut().zip(self.ln_good) {
            *log += times(good, ln_good);
        }
        ln_mean_exp(logs)
    }
}

/// Against a rate of at most `floor`: multiples of it, up to nearly every call.
pub(crate) fn above(floor: f64) -> RateEProcess<4> {
    RateEProcess::new(floor, [2.0, 5.0, 20.0, 100.0].map(|factor| (floor * factor).min(0.9)))
}

/// Against a rate of at least `margin`: parts of it, and never.
pub(crate) fn below(margin: f64) -> RateEProcess<4> {
    RateEProcess::new(margin, [margin / 2.0, margin / 5.0, margin / 20.0, 0.0])
}
