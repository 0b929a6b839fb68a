//! Benchmarks whose cases alternate within each round.

/// Returns the order of the cases in a round. It varies, so that a case does not always follow the
/// same one.
pub fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| {
        let turn = if round.is_multiple_of(2) { turn } else { count - 1 - turn };
        (round + turn) % count
    })
}

/// Returns the lower quartile, the median and the upper quartile.
#[must_use]
pub fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[values.len() * quarter / 4])
}
