use std::{error, fmt};

/// A ratio of the canary's rate to stable's, and a rate: both must be exceeded for harm.
#[derive(Clone, Copy, Debug, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "a margin is a ratio and a rate")]
pub struct Margin {
    /// The canary's adverse rate as a multiple of stable's.
    pub ratio: f64,
    /// The canary's adverse rate in itself, `0.0..1.0`.
    pub rate: f64,
}

/// What difference between the channels is harm, and what difference can be lived with.
///
/// - The canary is **worse** if its adverse rate is above `worse.ratio` times stable's *and* above
///   `worse.rate`, the floor below which nobody cares.
/// - It is **good enough** if its rate is below `good.ratio` times stable's *or* below `good.rate`.
///
/// Both can be true. With the defaults for failures a canary that fails 1.3 % of calls against
/// stable's 1 % is worse (it fails more often), and good enough (not twice as often). Twice is
/// easier to exclude: at a weight of 10 % it is healthy after some 5,000 calls of its own, and
/// proven worse after some 20,000. From then on it is degraded: of two proofs the one of harm
/// counts. If `worse.ratio` is at least `good.ratio` and `worse.rate` at least `good.rate`, no
/// canary is both; one between the margins is neither, and stays inconclusive until a person or a
/// deadline decides.
///
/// # Defaults
///
/// | for | `worse` | `good` | why |
/// |---|---|---|---|
/// | failures | 1, 0.1 % | 2, 0.5 % | no rise is wanted; three nines are what most services promise, and a good canary with few errors is proven within about 840 calls |
/// | slow calls, quantile `q` | odds 1.25, odds 1.5 | odds 2, odds 2 | a new build's timing always differs a little, and `1 - q` is what stable has by definition |
/// | slow calls, fixed limit | 1.25, 1 % | 2, 2 % | the same for a service that keeps its limit for 99 % of calls |
/// | cancelled calls | 1.25, 1 % | 2, 2 % | callers leave for reasons of their own |
/// | feedback | 1.25, 2 % | 1.5, 5 % | few people rate, and those who do complain |
/// | own events | 1, 0.1 % | 2, 0.5 % | as failures |
///
/// With a quantile the margins are of odds, not of rates, since half of stable's calls are beyond
/// its median: no canary could have more than twice as many. Odds of 1.25 are 1.11 times the rate
/// for p50, 1.22 for p90 and 1.25 for p99; odds of 2 are 1.33, 1.82 and 1.98 times. The rates are
/// those that `1 - q` becomes by these odds, or 2 % if that is less.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Margins {
    worse: Margin,
    good: Margin,
}

impl Margins {
    /// Margins for services that have few failures and want no more.
    pub(crate) const FAILURES: Self = Self {
        worse: Margin { ratio: 1.0, rate: 0.001 },
        good: Margin { ratio: 2.0, rate: 0.005 },
    };
    pub(crate) const CANCELLED: Self =
        Self { worse: Margin { ratio: 1.25, rate: 0.01 }, good: Margin { ratio: 2.0, rate: 0.02 } };
    pub(crate) const FEEDBACK: Self =
        Self { worse: Margin { ratio: 1.25, rate: 0.02 }, good: Margin { ratio: 1.5, rate: 0.05 } };
    pub(crate) const SLOW: Self = Self::CANCELLED;

    pub(crate) fn of_quantile(quantile: f64) -> Self {
        let slow = 1.0 - quantile;
        let at_odds = |odds: f64| odds * slow / (1.0 - slow + odds * slow);
        // A limit is rounded up to an edge, beyond which stable may have hardly any calls: a rate
        // that follows from the quantile alone would let the canary have many.
        let margin =
            |ratio, rate| Margin { ratio: at_odds(ratio) / slow, rate: at_odds(rate).min(0.02) };
        Self { worse: margin(1.25, 1.5), good: margin(2.0, 2.0) }
    }

    /// Margins with these bounds.
    ///
    /// # Errors
    ///
    /// If `worse.ratio` or `good.ratio` is below 1 or above 1000, `worse.rate` is not at least
    /// 10^-9 and below 0.9 (the highest rate that is bet on), or `good.rate` is not at least 10^-9
    /// and below 1.
    ///
    /// # Example
    ///
    /// ```
    /// use canary_analysis::{Margin, Margins};
    ///
    /// let worse = Margin { ratio: 1.5, rate: 0.001 };
    /// assert!(Margins::try_new(worse, Margin { ratio: 2.0, rate: 0.005 }).is_ok());
    ///
    /// let error = Margins::try_new(worse, Margin { ratio: 0.5, rate: 0.005 }).unwrap_err();
    /// assert_eq!(error.to_string(), "margin `good.ratio` is 0.5, expected 1 to 1000");
    /// ```
    pub fn try_new(worse: Margin, good: Margin) -> Result<Self, MarginError> {
        // Comparisons with NaN are false, so that NaN is refused as well.
        for (name, ratio) in [("worse.ratio", worse.ratio), ("good.ratio", good.ratio)] {
            if !(1.0..=1000.0).contains(&ratio) {
                return Err(MarginError { name, value: ratio, expected: "1 to 1000" });
            }
        }
        if !(LOWEST_RATE..0.9).contains(&worse.rate) {
            let expected = "1e-9 or more and below 0.9";
            return Err(MarginError { name: "worse.rate", value: worse.rate, expected });
        }
        if !(LOWEST_RATE..1.0).contains(&good.rate) {
            let expected = "1e-9 or more and below 1";
            return Err(MarginError { name: "good.rate", value: good.rate, expected });
        }
        Ok(Self { worse, good })
    }

    /// What counts as harm.
    #[must_use]
    pub const fn worse(&self) -> Margin {
        self.worse
    }

    /// What counts as good enough.
    #[must_use]
    pub const fn good(&self) -> Margin {
        self.good
    }
}

/// It takes 10^9 calls to tell anything about a rate as low.
const LOWEST_RATE: f64 = 1e-9;

/// A margin out of its range. The message names it, its value and the range.
#[derive(Clone, Debug, PartialEq)]
pub struct MarginError {
    name: &'static str,
    value: f64,
    expected: &'static str,
}

impl fmt::Display for MarginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, value, expected } = self;
        write!(f, "margin `{name}` is {value}, expected {expected}")
    }
}

impl error::Error for MarginError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Evidence, Levels};

    #[test]
    fn margins_out_of_range_are_named() {
        let fine = Margin { ratio: 1.0, rate: 1e-9 };
        assert!(Margins::try_new(fine, fine).is_ok());
        for (worse, good, text) in [
            (
                Margin { ratio: 0.9, ..fine },
                fine,
                "margin `worse.ratio` is 0.9, expected 1 to 1000",
            ),
            (
                Margin { rate: 0.9, ..fine },
                fine,
                "margin `worse.rate` is 0.9, expected 1e-9 or more and below 0.9",
            ),
            (
                fine,
                Margin { rate: f64::NAN, ..fine },
                "margin `good.rate` is NaN, expected 1e-9 or more and below 1",
            ),
        ] {
            assert_eq!(Margins::try_new(worse, good).unwrap_err().to_string(), text);
        }
        // The smallest of numbers has no fifth.
        for rate in [0.0, 5e-324, 9e-10, -1.0] {
            let low = Margin { rate, ..fine };
            assert!(Margins::try_new(low, fine).is_err() && Margins::try_new(fine, low).is_err());
        }
    }

    #[test]
    fn evidence_at_the_lowest_margins_and_levels_is_finite() {
        let lowest = Margin { ratio: 1.0, rate: 1e-9 };
        let mut evidence = Evidence::new(Margins::try_new(lowest, lowest).unwrap());
        evidence.count(
            canary_core::PerChannel { stable: 9, canary: u64::MAX },
            canary_core::PerChannel { stable: 1, canary: 3 },
        );
        evidence.add_trials(u64::MAX, 3);
        assert!(evidence.log_e_worse().is_finite() && evidence.log_e_good().is_finite());
        assert!(Levels::try_new(1e-12, 1e-12).is_ok() && Levels::try_new(5e-324, 0.1).is_err());
    }
}
