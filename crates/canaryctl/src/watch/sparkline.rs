/// Draws the latest values as a line of bars, from zero to `top`. A missing value is a gap.
pub(super) fn sparkline(values: &[Option<f32>], top: f32, width: usize) -> String {
    let shown = &values[values.len().saturating_sub(width)..];
    let gap = std::iter::repeat_n(' ', width - shown.len());
    gap.chain(shown.iter().map(|value| value.map_or(' ', |value| bar(value, top)))).collect()
}

/// Returns the largest value.
pub(super) fn top(columns: &[&[Option<f32>]]) -> f32 {
    columns.iter().flat_map(|column| column.iter().flatten()).fold(0.0, |top, value| value.max(top))
}

fn bar(value: f32, top: f32) -> char {
    if value <= 0.0 || top <= 0.0 {
        return BARS[0];
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is 0 to 7")]
    let index = (value / top * 7.0).clamp(0.0, 7.0).round() as usize;
    BARS[index]
}

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_values_are_shown_at_the_right_end() {
        let values = [Some(9.0), None, Some(0.0), Some(3.5), Some(7.0)];
        assert_eq!(sparkline(&values, 7.0, 4), " ▁▅█");
        assert_eq!(sparkline(&values[3..], 7.0, 4), "  ▅█");
        assert_eq!(top(&[&values, &[]]).to_string(), "9");
        assert_eq!(sparkline(&[Some(0.0), Some(f32::NAN)], 0.0, 2), "▁▁");
    }
}
