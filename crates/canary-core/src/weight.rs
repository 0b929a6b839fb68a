use std::{error, fmt, str};

use crate::Bucket;

/// The share of calls requested for the canary, in parts per million.
///
/// A weight is between [`Weight::ZERO`] (no call) and [`Weight::FULL`] (every call), in steps of
/// 0.0001 %. It parses from a percentage, with or without a space before the sign, and is displayed
/// as one:
///
/// ```
/// use canary_core::Weight;
///
/// const TENTH: Weight = Weight::from_ppm(1_000);
///
/// assert_eq!("0.1%".parse(), Ok(TENTH));
/// assert_eq!("12.5 %".parse(), Ok(Weight::from_ppm(125_000)));
/// assert_eq!(TENTH.to_string(), "0.1%");
/// assert_eq!(
///     "101%".parse::<Weight>().unwrap_err().to_string(),
///     r#"weight "101%" is above 100%: expected 0% to 100%, such as "0.1%""#,
/// );
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Weight(u32);

impl Weight {
    /// No call reaches the canary.
    pub const ZERO: Self = Self(0);
    /// Every call reaches the canary.
    pub const FULL: Self = Self(Bucket::COUNT);

    /// Returns a weight of `ppm` parts per million.
    ///
    /// # Panics
    ///
    /// Panics if `ppm` is above 1,000,000. In a `const`, a wrong literal does not compile. For a
    /// number that is only known at run time, use [`Weight::try_from_ppm`].
    #[must_use]
    pub const fn from_ppm(ppm: u32) -> Self {
        assert!(ppm <= Self::FULL.0, "a weight is at most 1000000 ppm");
        Self(ppm)
    }

    /// Returns a weight of `percent` percent.
    ///
    /// # Panics
    ///
    /// Panics if `percent` is above 100. In a `const`, a wrong literal does not compile.
    #[must_use]
    pub const fn from_percent(percent: u32) -> Self {
        assert!(percent <= 100, "a weight is at most 100 percent");
        Self(percent * PPM_PER_PERCENT)
    }

    /// Returns a weight of `ppm` parts per million.
    ///
    /// # Errors
    ///
    /// Returns an error if `ppm` is above 1,000,000.
    pub const fn try_from_ppm(ppm: u32) -> Result<Self, WeightRangeError> {
        if ppm <= Self::FULL.0 { Ok(Self(ppm)) } else { Err(WeightRangeError(ppm)) }
    }

    /// Returns the weight in parts per million, `0..=1_000_000`.
    #[must_use]
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// Returns the weight as a ratio, `0.0..=1.0`.
    #[must_use]
    pub fn ratio(self) -> f64 {
        f64::from(self.0) / f64::from(Self::FULL.0)
    }

    /// Returns whether a call in this bucket goes to the canary.
    ///
    /// [`Weight::ZERO`] admits no bucket and [`Weight::FULL`] all of them. Each part per million
    /// more admits one bucket more.
    #[must_use]
    pub const fn admits(self, bucket: Bucket) -> bool {
        bucket.index() < self.0
    }
}

impl fmt::Display for Weight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (percent, fraction) = (self.0 / PPM_PER_PERCENT, self.0 % PPM_PER_PERCENT);
        let text = if fraction == 0 {
            format!("{percent}%")
        } else {
            let digits = format!("{fraction:04}");
            format!("{percent}.{}%", digits.trim_end_matches('0'))
        };
        f.pad(&text)
    }
}

impl str::FromStr for Weight {
    type Err = ParseWeightError;

    fn from_str(text: &str) -> Result<Self, ParseWeightError> {
        let fail = |fault| ParseWeightError { text: text.to_owned(), fault };
        let number =
            text.trim().strip_suffix('%').ok_or_else(|| fail(ParseFault::NotAPercentage))?;
        let number = number.trim_end();
        let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let is_digits =
            |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
        if number.starts_with('-') && is_digits(&whole[1..]) && is_digits(fraction) {
            return Err(fail(ParseFault::Negative));
        }
        if !is_digits(whole) || !is_digits(fraction) {
            return Err(fail(ParseFault::NotAPercentage));
        }
        let fraction = fraction.trim_end_matches('0');
        if fraction.len() > DIGITS_BELOW_PERCENT {
            return Err(fail(ParseFault::TooFine));
        }
        // A whole number that does not fit a u32 is above 100.
        let percent: u32 = whole.parse().map_err(|_| fail(ParseFault::TooLarge))?;
        let below = fraction.bytes().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0'));
        let missing_digits = u32::try_from(DIGITS_BELOW_PERCENT - fraction.len()).unwrap_or(0);
        percent
            .checked_mul(PPM_PER_PERCENT)
            .and_then(|ppm| ppm.checked_add(below * 10_u32.pow(missing_digits)))
            .and_then(|ppm| Self::try_from_ppm(ppm).ok())
            .ok_or_else(|| fail(ParseFault::TooLarge))
    }
}

impl TryFrom<u32> for Weight {
    type Error = WeightRangeError;

    fn try_from(ppm: u32) -> Result<Self, WeightRangeError> {
        Self::try_from_ppm(ppm)
    }
}

/// The error for a number above 1,000,000 ppm.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct WeightRangeError(u32);

impl fmt::Display for WeightRangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight {} is above {} ppm", self.0, Weight::FULL.0)
    }
}

crate::debug_as_display!(WeightRangeError);

impl error::Error for WeightRangeError {}

/// A text that is not a valid [`Weight`]. The message names the text and the range.
#[derive(Clone, Eq, PartialEq)]
pub struct ParseWeightError {
    text: String,
    fault: ParseFault,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum ParseFault {
    NotAPercentage,
    Negative,
    TooLarge,
    TooFine,
}

impl fmt::Display for ParseWeightError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { text, fault } = self;
        let fault = match fault {
            ParseFault::NotAPercentage => "is not a percentage",
            ParseFault::Negative => "is below 0%",
            ParseFault::TooLarge => "is above 100%",
            ParseFault::TooFine => "is finer than 0.0001%",
        };
        let example = meant(text).unwrap_or(Weight::from_ppm(1_000));
        write!(f, r#"weight {text:?} {fault}: expected 0% to 100%, such as "{example}""#)
    }
}

/// Returns the weight that a text probably means, such as "10", "10 percent" and "0,1%".
fn meant(text: &str) -> Option<Weight> {
    let text = text.trim().to_ascii_lowercase().replacen(',', ".", 1);
    let words = ["%", "percent", "per cent", "pct"];
    let number = words.iter().find_map(|word| text.strip_suffix(word)).unwrap_or(&text).trim();
    let number = number.trim_start_matches('+').trim_end_matches('.');
    let zero = if number.starts_with('.') { "0" } else { "" };
    format!("{zero}{number}%").parse().ok()
}

crate::debug_as_display!(ParseWeightError);

impl error::Error for ParseWeightError {}

const PPM_PER_PERCENT: u32 = 10_000;
const DIGITS_BELOW_PERCENT: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn percentages_parse_to_parts_per_million() {
        for (text, ppm) in [
            ("0%", 0),
            ("0.0001%", 1),
            ("0.1%", 1_000),
            ("12.5 %", 125_000),
            (" 99.9999% ", 999_999),
            ("100%", 1_000_000),
            ("100.0000%", 1_000_000),
            ("007%", 70_000),
            ("0.100000%", 1_000),
        ] {
            assert_eq!(text.parse(), Ok(Weight::from_ppm(ppm)), "{text}");
        }
    }

    #[test]
    fn invalid_texts_are_rejected_with_the_text_and_the_range() {
        for (text, fault) in [
            ("-1%", "is below 0%"),
            ("-0.5%", "is below 0%"),
            ("101%", "is above 100%"),
            ("100.0001%", "is above 100%"),
            ("99999999999%", "is above 100%"),
            ("429497%", "is above 100%"),
            ("0.00001%", "is finer than 0.0001%"),
            ("abc", "is not a percentage"),
            ("NaN%", "is not a percentage"),
            ("inf%", "is not a percentage"),
            ("", "is not a percentage"),
            ("%", "is not a percentage"),
            ("1e1%", "is not a percentage"),
            ("-%", "is not a percentage"),
            ("1.2.3%", "is not a percentage"),
            ("1%%", "is not a percentage"),
            ("\u{661}%", "is not a percentage"),
            ("-\u{661}%", "is not a percentage"),
        ] {
            let message = text.parse::<Weight>().unwrap_err().to_string();
            assert_eq!(
                message,
                format!(r#"weight {text:?} {fault}: expected 0% to 100%, such as "0.1%""#)
            );
        }
    }

    #[test]
    fn a_text_that_means_a_percentage_is_rejected_with_the_right_form() {
        for (text, example) in [
            ("1", "1%"),
            ("0.5", "0.5%"),
            ("10 percent", "10%"),
            ("10 Per Cent", "10%"),
            ("10pct", "10%"),
            ("0,1%", "0.1%"),
            ("0,1", "0.1%"),
            (".5%", "0.5%"),
            ("5.%", "5%"),
            ("+5%", "5%"),
        ] {
            let message = text.parse::<Weight>().unwrap_err().to_string();
            let expected = format!(
                r#"weight {text:?} is not a percentage: expected 0% to 100%, such as "{example}""#
            );
            assert_eq!(message, expected);
        }
    }

    #[test]
    fn parts_per_million_above_a_million_are_rejected() {
        assert_eq!(Weight::try_from_ppm(1_000_000), Ok(Weight::FULL));
        let error = Weight::try_from(1_000_001).unwrap_err();
        assert_eq!(error.to_string(), "weight 1000001 is above 1000000 ppm");
    }

    proptest! {
        #[test]
        fn every_weight_parses_back_from_its_display(ppm in 0..=1_000_000_u32) {
            let weight = Weight::from_ppm(ppm);
            prop_assert_eq!(weight.to_string().parse(), Ok(weight));
        }

        #[test]
        fn the_parser_never_panics(text in "\\PC{0,12}%?") {
            let _ = text.parse::<Weight>();
        }

        #[test]
        fn a_higher_weight_admits_every_bucket_of_a_lower_one(
            low in 0..=1_000_000_u32, high in 0..=1_000_000_u32, bits: u32
        ) {
            let (low, high) = (low.min(high), low.max(high));
            let bucket = Bucket::from_random(bits);
            if Weight::from_ppm(low).admits(bucket) {
                prop_assert!(Weight::from_ppm(high).admits(bucket));
            }
        }
    }

    #[test]
    fn zero_admits_nothing_and_full_admits_everything() {
        for bucket in [0, 1, u32::MAX / 2, u32::MAX].map(Bucket::from_random) {
            assert!(!Weight::ZERO.admits(bucket));
            assert!(Weight::FULL.admits(bucket));
        }
    }
}
