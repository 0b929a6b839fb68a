//! Sums and products in log space, where likelihood ratios do not overflow.

/// Converts a count to a float.
#[expect(clippy::cast_precision_loss, reason = "the relative error is at most 1e-16")]
pub(crate) const fn float(count: u64) -> f64 {
    count as f64
}

/// Returns the logarithm of the mean of `exp(logs)`, under the conditions of [`ln_sum_exp`].
pub(crate) fn ln_mean_exp<const N: usize>(logs: [f64; N]) -> f64 {
    ln_sum_exp(&logs) - float(N as u64).ln()
}

/// Returns the logarithm of the mean of `exp(logs)`, weighted by `parts`, under the conditions of
/// [`ln_sum_exp`]. The parts are above 0 and sum to 1.
pub(crate) fn ln_weighted_mean_exp<const N: usize>(logs: [f64; N], parts: &[f64; N]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mean: f64 = logs.iter().zip(parts).map(|(log, part)| part * (log - largest).exp()).sum();
    largest + mean.ln()
}

/// Returns the logarithm of the sum of `exp(logs)`. No intermediate result overflows.
///
/// At least one of `logs` must be finite, and none may be plus infinity. Minus infinity adds zero.
pub(crate) fn ln_sum_exp(logs: &[f64]) -> f64 {
    let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + logs.iter().map(|log| (log - largest).exp()).sum::<f64>().ln()
}

/// Returns `count * log`, and 0 for a count of 0 even if `log` is infinite.
pub(crate) fn times(count: u64, log: f64) -> f64 {
    if count == 0 { 0.0 } else { float(count) * log }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_of_numbers_out_of_range_is_finite() {
        assert!((ln_mean_exp([1e6, 1e6]) - 1e6).abs() < 1e-9);
        assert!((ln_weighted_mean_exp([1e6, 1e6], &[0.1, 0.9]) - 1e6).abs() < 1e-9);
        assert!((ln_mean_exp([-1e9, f64::NEG_INFINITY]) + 1e9 + 2.0_f64.ln()).abs() < 1e-6);
    }

    #[test]
    fn zero_times_infinity_is_zero() {
        assert!(times(0, f64::NEG_INFINITY).abs() < f64::EPSILON);
    }
}
