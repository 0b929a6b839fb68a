//! Numbers for people.

/// Returns a fraction as a percentage with at most three digits, such as `0.92%` or `50%`.
pub(crate) fn percent(fraction: f64) -> String {
    let percent = fraction * 100.0;
    let decimals = match percent.abs() {
        10.0.. => 1,
        0.1.. => 2,
        _ => 3,
    };
    let text = format!("{percent:.decimals$}");
    format!("{}%", text.trim_end_matches('0').trim_end_matches('.'))
}

/// Returns a time in milliseconds, such as `430µs`, `3.1ms` or `1.20s`.
pub(crate) fn milliseconds(ms: f64) -> String {
    match ms {
        1000.0.. => format!("{:.2}s", ms / 1000.0),
        100.0.. => format!("{ms:.0}ms"),
        1.0.. => format!("{ms:.1}ms"),
        _ => format!("{:.0}µs", ms * 1000.0),
    }
}

/// Returns calls per second, such as `180` or `2.5`.
pub(crate) fn rate(per_second: f64) -> String {
    if per_second >= 100.0 { format!("{per_second:.0}") } else { format!("{per_second:.1}") }
}

/// Returns a duration in its two largest units, such as `1h 30m`.
pub(crate) fn duration(seconds: f64) -> String {
    if seconds < 60.0 {
        let text = format!("{seconds:.1}");
        return format!("{}s", text.strip_suffix(".0").unwrap_or(&text));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
    let whole = seconds.round() as u64;
    let (units, large, small) = match whole {
        86_400.. => (("d", "h"), whole / 86_400, whole % 86_400 / 3600),
        3600.. => (("h", "m"), whole / 3600, whole % 3600 / 60),
        _ => (("m", "s"), whole / 60, whole % 60),
    };
    if small == 0 {
        format!("{large}{}", units.0)
    } else {
        format!("{large}{} {small}{}", units.0, units.1)
    }
}

/// Returns a number with separators, such as `1,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a ratio, such as `1.2x`.
pub(crate) fn ratio(ratio: f64) -> String {
    if ratio >= 10.0 { format!("{ratio:.0}x") } else { format!("{ratio:.2}x") }
}

/// Returns odds, such as `12:1`, or `1:20` if they are against it.
pub(crate) fn odds(odds: f64) -> String {
    match odds {
        1e6.. => ">1e6:1".to_owned(),
        10.0.. => format!("{odds:.0}:1"),
        1.0.. => format!("{odds:.1}:1"),
        _ if odds < 1e-6 => "1:>1e6".to_owned(),
        _ if odds < 0.1 => format!("1:{:.0}", odds.recip()),
        _ => format!("1:{:.1}", odds.recip()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let percents = [0.0, 0.000_01, 0.0092, 0.012_345, 0.1034, 0.5, 1.0].map(percent);
        assert_eq!(percents, ["0%", "0.001%", "0.92%", "1.23%", "10.3%", "50%", "100%"]);
        let times = [0.0432, 0.43, 3.12, 250.4, 1200.0].map(milliseconds);
        assert_eq!(times, ["43µs", "430µs", "3.1ms", "250ms", "1.20s"]);
        assert_eq!([2.54, 180.4].map(rate), ["2.5", "180"]);
        let durations = [0.5, 2.0, 60.0, 90.0, 5400.0, 3600.0, 90_000.0].map(duration);
        assert_eq!(durations, ["0.5s", "2s", "1m", "1m 30s", "1h 30m", "1h", "1d 1h"]);
        assert_eq!([0, 999, 1000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
        let odds = [1e9, 20.0, 1.5, 0.5, 0.05, 0.0].map(odds);
        assert_eq!(odds, [">1e6:1", "20:1", "1.5:1", "1:2.0", "1:20", "1:>1e6"]);
    }
}
