//! The two steps from exact counts to approximate evidence.

/// A count as a number to calculate with.
#[expect(clippy::cast_precision_loss, reason = "a count is off by 1e-16 of itself at most")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// The logarithm of the mean of `exp(logs)`, without leaving the range of `f64` on the way.
///
/// At least one of `logs` must be finite and none infinitely large; those that are minus infinity
/// have no part in the sum.
pub(crate) fn ln_mean_exp<const N: usize>(logs: [f64; N]) -> f64 {
    ln_sum_exp(&logs) - float(N as u64).ln()
}

/// The logarithm of the sum of `exp(logs)`, under the same conditions.
pub(crate) fn ln_sum_exp(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + logs.iter().map(|log| (log - largest).exp()).sum::<f64>().ln()
}

/// `count * log`, where nothing times an impossible thing is nothing.
pub(crate) fn times(count: u64, log: f64) -> f64 {
    if count == 0 { 0.0 } else { float(count) * log }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_numbers_far_out_of_range_is_finite() {
        assert!((ln_mean_exp([1e6, 1e6]) - 1e6).abs() < 1e-9);
        assert!((ln_mean_exp([-1e9, f64::NEG_INFINITY]) + 1e9 + 2.0_f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn no_event_of_an_impossible_kind_says_nothing() {
        assert!(times(0, f64::NEG_INFINITY).abs() < f64::EPSILON);
    }
}
