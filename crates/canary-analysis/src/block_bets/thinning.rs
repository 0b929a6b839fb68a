use statrs::function::gamma::ln_gamma;

use crate::{calm_rate::RateCounts, log_space::float};

/// Returns the probability that the canary has more failures than as many calls of stable, minus
/// the probability that it has fewer. If the canary has more calls than stable, its calls are drawn.
pub(super) fn sign(stable: RateCounts, canary: RateCounts) -> f64 {
    if canary.calls <= stable.calls {
        below_minus_above(stable, canary.calls, canary.adverse)
    } else {
        -below_minus_above(canary, stable.calls, stable.adverse)
    }
}

/// Draws calls from `all` without replacement. Returns the probability that fewer than `than` of
/// them are adverse, minus the probability that more are.
fn below_minus_above(all: RateCounts, drawn: u64, than: u64) -> f64 {
    // The logarithms of larger factorials have too few digits. The ratios are what matters.
    let shift = (u64::BITS - all.calls.leading_zeros()).saturating_sub(MOST_BITS);
    let [calls, adverse, drawn, than] =
        [all.calls, all.adverse.min(all.calls), drawn, than].map(|count| count >> shift);
    let least = drawn.saturating_sub(calls - adverse);
    let most = drawn.min(adverse);
    if !(least..=most).contains(&than) {
        return if than > most { 1.0 } else { -1.0 };
    }
    let at = ln_binomial(adverse, than) + ln_binomial(calls - adverse, drawn - than)
        - ln_binomial(calls, drawn);
    let at = at.exp().min(1.0);
    // The ratio of the probability of `value + 1` to that of `value`.
    let ratio = |value: u64| {
        let of_adverse = float(adverse - value) / float(value + 1);
        of_adverse * float(drawn - value) / float(calls - adverse + value + 1 - drawn)
    };
    let is_above_mean = float(than) * float(calls) > float(drawn) * float(adverse);
    // The sum of the probabilities from `than` away from the mean, where they fall quickly.
    let (mut tail, mut term) = (at, at);
    let mut add = |factor: f64| {
        term *= factor;
        tail += term;
        term > NEGLIGIBLE
    };
    if is_above_mean {
        let _ = (than..most).all(|value| add(ratio(value)));
        1.0 - 2.0 * tail.min(1.0) + at
    } else {
        let _ = (least..than).rev().all(|value| add(1.0 / ratio(value)));
        2.0 * tail.min(1.0) - at - 1.0
    }
}

fn ln_binomial(of: u64, chosen: u64) -> f64 {
    let ln_factorial = |number: u64| ln_gamma(float(number) + 1.0);
    ln_factorial(of) - ln_factorial(chosen) - ln_factorial(of - chosen)
}

/// A payoff is rounded to 1/32, so that these digits do not matter.
const NEGLIGIBLE: f64 = 1e-12;
/// Counts are below 2^30.
const MOST_BITS: u32 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(calls: u64, adverse: u64) -> RateCounts {
        RateCounts { calls, adverse }
    }

    #[test]
    fn the_sign_is_that_of_the_hypergeometric_distribution() {
        // Two of four calls are adverse, and two are drawn: 0, 1 or 2 with 1/6, 4/6 and 1/6.
        for (than, expected) in [(0, -5.0 / 6.0), (1, 0.0), (2, 5.0 / 6.0)] {
            let sign = sign(counts(4, 2), counts(2, than));
            assert!((sign - expected).abs() < 1e-9, "{than}: {sign}");
        }
    }

    #[test]
    fn the_sign_of_equal_channels_is_zero_on_average() {
        // All splits of 40 adverse calls among 400, of which the canary has 100.
        let mut mean = 0.0;
        for canary in 0..=40 {
            let ways = ln_binomial(100, canary) + ln_binomial(300, 40 - canary);
            let probability = (ways - ln_binomial(400, 40)).exp();
            mean += probability * sign(counts(300, 40 - canary), counts(100, canary));
        }
        assert!(mean.abs() < 1e-9, "{mean}");
    }

    #[test]
    fn the_sign_is_opposite_if_the_channels_are_exchanged() {
        for (stable, canary) in [((500, 20), (100, 9)), ((80, 3), (80, 1)), ((9, 9), (4, 0))] {
            let (stable, canary) = (counts(stable.0, stable.1), counts(canary.0, canary.1));
            assert!((sign(stable, canary) + sign(canary, stable)).abs() < 1e-9);
        }
    }

    #[test]
    fn extreme_counts_have_a_sign_within_one() {
        for most in [1, 1_000_000, u64::MAX] {
            for (stable, canary) in
                [((most, most), (most, 0)), ((most, 1), (1, 1)), ((1, 0), (most, most / 2))]
            {
                let sign = sign(counts(stable.0, stable.1), counts(canary.0, canary.1));
                assert!((-1.0..=1.0).contains(&sign), "{stable:?} {canary:?}: {sign}");
            }
        }
    }
}
