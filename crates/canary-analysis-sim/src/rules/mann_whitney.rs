use canary_core::{Channel, PerChannel, Verdict};
use statrs::distribution::{ContinuousCDF, Normal};

use super::RollbackRule;
use crate::{as_f64, second::Second};

/// A Mann-Whitney test on the failure rates of the minutes of both channels.
#[derive(Clone, Debug)]
pub struct MannWhitney {
    direction: Direction,
    minute: PerChannel<(u64, u64)>,
    rates: PerChannel<Vec<f64>>,
}

/// The difference that rolls back.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Direction {
    /// The canary's failure rates are higher.
    Increase,
    /// They are higher or lower.
    Either,
}

impl MannWhitney {
    /// Creates a test for differences in this direction.
    #[must_use]
    pub fn new(direction: Direction) -> Self {
        Self { direction, minute: PerChannel::default(), rates: PerChannel::default() }
    }
}

/// The number of minutes before the first test. With fewer, no result is significant.
const FEWEST: usize = 5;
const CONFIDENCE: f64 = 0.98;

impl RollbackRule for MannWhitney {
    fn look(&mut self, second: &Second) -> Verdict {
        for channel in Channel::ALL {
            self.minute[channel].0 += second.calls(channel);
            self.minute[channel].1 += second.failures(channel);
        }
        if second.at % 60 != 59 {
            return Verdict::Inconclusive;
        }
        for channel in Channel::ALL {
            let (calls, failures) = std::mem::take(&mut self.minute[channel]);
            if calls > 0 {
                self.rates[channel].push(as_f64(failures) / as_f64(calls));
            }
        }
        let PerChannel { stable, canary } = &self.rates;
        let is_enough = stable.len().min(canary.len()) >= FEWEST;
        let is_different = |p: f64| p < 1.0 - CONFIDENCE;
        let is_higher = is_enough && is_different(p_value(stable, canary));
        let is_lower = is_enough && is_different(p_value(canary, stable));
        if is_higher || (is_lower && self.direction == Direction::Either) {
            Verdict::Degraded
        } else {
            Verdict::Inconclusive
        }
    }
}

/// Returns the two-sided p-value of higher values in `canary`, by the normal approximation with tie
/// correction. Returns 1 if they are lower.
fn p_value(stable: &[f64], canary: &[f64]) -> f64 {
    let (n, m) = (as_f64(stable.len() as u64), as_f64(canary.len() as u64));
    let wins: f64 = canary
        .iter()
        .flat_map(|one| stable.iter().map(move |other| one.total_cmp(other)))
        .map(|order| f64::from(order as i8 + 1) / 2.0)
        .sum();
    let mut all: Vec<f64> = [stable, canary].concat();
    all.sort_by(f64::total_cmp);
    let ties: f64 = all
        .chunk_by(|one, other| one.total_cmp(other).is_eq())
        .map(|tied| as_f64(tied.len() as u64))
        .map(|tied| tied.powi(3) - tied)
        .sum();
    let total = n + m;
    let variance = n * m / 12.0 * (total + 1.0 - ties / (total * (total - 1.0)));
    if variance <= 0.0 || wins <= n * m / 2.0 {
        return 1.0;
    }
    let z = (wins - n * m / 2.0 - 0.5) / variance.sqrt();
    2.0 * Normal::standard().sf(z)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_p_value_equals_that_of_scipy() {
        // scipy.stats.mannwhitneyu(canary, stable, method="asymptotic") of SciPy 1.17.1
        let stable = [0.1, 0.2, 0.2, 0.3, 0.5];
        let canary = [0.2, 0.4, 0.6, 0.7, 0.8, 0.9];
        let p = p_value(&stable, &canary);
        assert!((p - 0.053_027_391_2).abs() < 1e-9, "{p}");
    }
}
