//! What benches share whose cases take turns.

/// The order in which the cases take their turns in a round: not always the same, so that nobody always
/// comes after the same one.
pub fn order(round: usize, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |turn| {
        let turn = if round.is_multiple_of(2) { turn } else { count - 1 - turn };
        (round + turn) % count
    })
}

/// The median of what there is for each round, between the bounds of the middle half.
#[must_use]
pub fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[values.len() * quarter / 4])
}
