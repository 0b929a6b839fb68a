//! Durations in the form "5m", "1h30m" or "500ms".

use std::{fmt, time::Duration};

/// Parses a duration: numbers with units (ms, s, m, h, d), larger units first.
pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    let fail = || {
        let example = example(text);
        format!(
            "duration {text:?}: expected numbers with units (ms, s, m, h, d), such as {example}"
        )
    };
    let mut rest = text.trim();
    let mut sum = Duration::ZERO;
    let mut last_unit = u64::MAX;
    if rest.is_empty() {
        return Err(fail());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(fail)?;
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        let (_, millis) = UNITS.iter().find(|(name, _)| *name == unit).ok_or_else(fail)?;
        let number: u64 = number.parse().map_err(|_| fail())?;
        if *millis >= last_unit {
            return Err(fail());
        }
        let part = number.checked_mul(*millis).ok_or_else(fail)?;
        sum = sum.checked_add(Duration::from_millis(part)).ok_or_else(fail)?;
        last_unit = *millis;
        rest = after.trim_start();
    }
    if sum > MAX_SPAN {
        return Err(format!("duration {text:?} is above 366d"));
    }
    Ok(sum)
}

/// Returns the message for a number without a unit.
pub(crate) fn number_fault(number: u64) -> String {
    let expected = "expected a duration with a unit such as";
    format!("{expected} \"{number}s\" or \"{number}m\", found the number {number}")
}

/// Returns examples of the right form: the duration that an invalid text probably means, such as
/// "10 minutes", "1.5h", "PT5M" and "10".
fn example(text: &str) -> String {
    let meant = meant(text).filter(|it| !it.is_zero() && *it <= MAX_SPAN);
    match (text.trim().parse::<u32>(), meant) {
        (Ok(number), _) => format!("\"{number}s\" or \"{number}m\""),
        (Err(_), meant) => format!("\"{}\"", Span(meant.unwrap_or(Duration::from_secs(300)))),
    }
}

fn meant(text: &str) -> Option<Duration> {
    let text = text.trim().to_ascii_lowercase();
    // ISO 8601: "P1DT2H".
    let iso = text.strip_prefix('p').map(|parts| parts.replacen('t', "", 1));
    let text = iso.unwrap_or(text);
    let mut rest = text.as_str();
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ',')?;
        let (number, after) = rest.split_at(end);
        let after = after.trim_start();
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (word, after) = after.split_at(end);
        let (_, unit) = UNIT_WORDS.iter().find(|(words, _)| words.contains(&word))?;
        let number: f64 = number.replacen(',', ".", 1).parse().ok()?;
        let part = Duration::try_from_secs_f64(number * unit).ok()?;
        sum = sum.checked_add(part)?;
        rest = after.trim_start_matches([' ', ',']);
        rest = rest.strip_prefix("and ").unwrap_or(rest);
    }
    Some(sum)
}

/// Adds time to a stored duration, up to the longest one that [`parse`] accepts.
pub(crate) fn add(span: &mut Duration, passed: Duration) {
    *span = span.saturating_add(passed).min(MAX_SPAN);
}

/// Formats a duration as [`parse`] accepts it, without parts that are zero.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_millis()).unwrap_or(u64::MAX);
        let mut text = String::new();
        for (unit, millis) in UNITS {
            if rest >= millis {
                text += &format!("{}{unit}", rest / millis);
                rest %= millis;
            }
        }
        f.pad(if text.is_empty() { "0s" } else { &text })
    }
}

/// Rounds down to seconds, for sentences.
pub(crate) fn rough(duration: Duration) -> Span {
    Span(Duration::from_secs(duration.as_secs()))
}

const UNITS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];

/// Other names of units, with their seconds.
const UNIT_WORDS: [(&[&str], f64); 6] = [
    (&["w", "week", "weeks"], 604_800.0),
    (&["d", "day", "days"], 86_400.0),
    (&["h", "hr", "hrs", "hour", "hours"], 3_600.0),
    (&["m", "min", "mins", "minute", "minutes"], 60.0),
    (&["s", "sec", "secs", "second", "seconds"], 1.0),
    (&["ms", "msec", "millis", "millisecond", "milliseconds"], 0.001),
];

const MAX_SPAN: Duration = Duration::from_secs(366 * 86_400);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn durations_have_numbers_with_units() {
        for (text, millis) in [
            ("5m", 300_000),
            ("1h30m", 5_400_000),
            ("1h 30m", 5_400_000),
            ("500ms", 500),
            ("0s", 0),
            ("2d", 172_800_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn an_error_names_the_invalid_duration() {
        for text in
            ["", "5", "m", "5 minutes", "5m5", "5m1h", "5m5m", "-5m", "1.5h", "367d", "9e9d"]
        {
            assert!(parse(text).unwrap_err().contains(&format!("{text:?}")), "{text}");
        }
        assert!(parse("99999999999999999999d").is_err());
    }

    #[test]
    fn a_text_that_means_a_duration_is_rejected_with_the_right_form() {
        for (text, example) in [
            ("10", "\"10s\" or \"10m\""),
            ("10 minutes", "\"10m\""),
            ("1 hour, 30 min", "\"1h30m\""),
            ("1 hour and 30 min", "\"1h30m\""),
            ("1.5h", "\"1h30m\""),
            ("1,5 h", "\"1h30m\""),
            ("90 secs", "\"1m30s\""),
            ("5M", "\"5m\""),
            ("PT5M", "\"5m\""),
            ("P1DT2H", "\"1d2h\""),
            ("5m1h", "\"1h5m\""),
            ("1 week", "\"7d\""),
            ("a while", "\"5m\""),
            ("99 years", "\"5m\""),
            ("9999999 weeks", "\"5m\""),
            ("", "\"5m\""),
        ] {
            let message = parse(text).unwrap_err();
            assert!(message.ends_with(&format!(", such as {example}")), "{message}");
        }
    }

    proptest! {
        #[test]
        fn every_formatted_duration_parses_to_itself(millis in 0..31_536_000_000_u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&Span(duration).to_string()), Ok(duration));
        }

        #[test]
        fn the_parser_never_panics(text in "\\PC{0,12}") {
            let _ = parse(&text);
        }
    }
}
