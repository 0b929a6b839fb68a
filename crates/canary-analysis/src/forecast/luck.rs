use statrs::distribution::{DiscreteCDF, Poisson};

use crate::log_space::float;

/// The side for which the quantiles are unlucky.
#[derive(Clone, Copy)]
pub(super) enum Luck {
    ForTheCanary,
    AgainstTheCanary,
}

/// Distributes a number of events over parts. The parts are integers with an exact sum.
pub(super) struct Parts {
    events: f64,
    share: f64,
    dealt: u64,
}

impl Parts {
    pub(super) const fn of(events: f64) -> Self {
        Self { events, share: 0.0, dealt: 0 }
    }

    /// Returns the next part. A NaN, from 0 divided by 0, counts as 0.
    pub(super) fn next(&mut self, share: f64) -> u64 {
        self.share += if share.is_finite() { share } else { 0.0 };
        let until_now = whole((self.events * self.share).round());
        let part = until_now.saturating_sub(self.dealt);
        self.dealt += part;
        part
    }
}

/// Returns a quantile of the Poisson distribution.
pub(super) fn quantile(mean: f64, probability: f64) -> f64 {
    if mean > LARGE {
        // The square root of a Poisson variable is nearly normal, with a standard deviation of 1/2.
        let deviations = if probability < 0.5 { -DEVIATIONS } else { DEVIATIONS };
        return (mean.sqrt() + deviations / 2.0).powi(2).round();
    }
    // `Poisson::new` refuses a mean of zero.
    let Ok(poisson) = Poisson::new(mean) else { return 0.0 };
    // `Poisson::inverse_cdf` panics if rounding makes the distribution function non-monotone.
    let (mut low, mut high) = (0, whole(mean + 10.0 * mean.sqrt() + 20.0));
    while low < high {
        let middle = u64::midpoint(low, high);
        if poisson.cdf(middle) < probability { low = middle + 1 } else { high = middle }
    }
    float(low)
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
pub(super) const fn whole(number: f64) -> u64 {
    number as u64
}

/// The probability of a worse value for each of three numbers: 5 % in total.
pub(super) const TAIL: f64 = 0.05 / 3.0;
/// A normal variable exceeds this number of standard deviations with probability [`TAIL`].
const DEVIATIONS: f64 = 2.128;
/// Above this mean the normal approximation is exact to 0.1 % and faster.
const LARGE: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_approximation_agrees_with_the_distribution() {
        for probability in [TAIL, 1.0 - TAIL] {
            let exact = quantile(LARGE, probability);
            let close = quantile(LARGE + 1e-6, probability);
            assert!((exact - close).abs() < 5.0, "{exact} {close}");
        }
    }
}
