//! Numbers in sentences.

/// `1 key`, `12 keys`.
pub(super) fn plural(number: u64, noun: &str) -> String {
    format!("{} {noun}{}", count(number), if number == 1 { "" } else { "s" })
}

/// Formats odds, given as a natural logarithm: `2,400 : 1`.
///
/// Neither random assignment nor counting is reliable enough for odds above 10^12.
pub(super) fn odds(log: f64) -> String {
    if log > MOST_ODDS.ln() {
        return "beyond 10^12 : 1".to_owned();
    }
    format!("{} : 1", amount(log))
}

/// Formats the gambler's money, given as a natural logarithm: `2,400`.
pub(super) fn amount(log: f64) -> String {
    let digits = log / std::f64::consts::LN_10;
    if digits < -3.0 {
        return "under 0.001".to_owned();
    }
    if log > MOST_ODDS.ln() {
        return "over 10^12".to_owned();
    }
    if digits >= 9.0 { format!("10^{}", digits.floor()) } else { two_digits(log.exp()) }
}

/// Formats a rate of `0.0..=1.0`: `3.1%`.
pub(super) fn percent(rate: f64) -> String {
    format!("{}%", two_digits(100.0 * rate))
}

/// Rounds a non-negative number to two significant digits: `2,400`, `31`, `3.1`, `0.031`.
pub(super) fn two_digits(number: f64) -> String {
    digits(number, 2)
}

/// Rounds a non-negative number to `kept` significant digits.
pub(super) fn digits(number: f64, kept: i32) -> String {
    if number < 1e-9 {
        return "0".to_owned();
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the decimal logarithm of an f64 is within +-400"
    )]
    let magnitude = number.log10().floor() as i32 + 1 - kept;
    let scale = 10.0_f64.powi(magnitude);
    let rounded = (number / scale).round() * scale;
    let decimals = usize::try_from(-magnitude).unwrap_or(0);
    let text = format!("{rounded:.decimals$}");
    let text =
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    grouped(text)
}

/// Formats a count with thousands separators: `12,345`.
pub(super) fn count(number: u64) -> String {
    grouped(&number.to_string())
}

fn grouped(text: &str) -> String {
    let (whole, fraction) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::with_capacity(text.len() + whole.len() / 3);
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + fraction
}

const MOST_ODDS: f64 = 1e12;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_two_significant_digits() {
        for (number, text) in [
            (0.0, "0"),
            (0.000_312, "0.00031"),
            (0.9, "0.9"),
            (3.149, "3.1"),
            (9.99, "10"),
            (100.0, "100"),
            (2431.0, "2,400"),
            (999_999.0, "1,000,000"),
        ] {
            assert_eq!(two_digits(number), text);
        }
    }

    #[test]
    fn very_large_and_very_small_odds_are_shortened() {
        assert_eq!(odds(2400.0_f64.ln()), "2,400 : 1");
        assert_eq!(odds(1e10_f64.ln() + 0.1), "10^10 : 1");
        assert_eq!(odds(743_799.0), "beyond 10^12 : 1");
        assert_eq!(odds(-1e9), "under 0.001 : 1");
    }
}
