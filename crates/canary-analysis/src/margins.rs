use std::{error, fmt};

/// A ratio of the canary's rate to stable's, and an absolute rate.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(deny_unknown_fields)
)]
#[expect(clippy::exhaustive_structs, reason = "a margin is a ratio and a rate")]
pub struct Margin {
    /// The canary's adverse rate as a multiple of stable's.
    pub ratio: f64,
    /// The canary's adverse rate, `0.0..1.0`.
    pub rate: f64,
}

/// The differences between the channels that count as worse, and as good enough.
///
/// - The canary is **worse** if its adverse rate is above `worse.ratio` times stable's *and* above
///   `worse.rate`, a floor below which harm is ignored.
/// - It is **good enough** if its rate is below `good.ratio` times stable's *or* below `good.rate`.
///
/// Both can be true. With the defaults for failures, a canary that fails 1.3 % of calls when stable
/// fails 1 % is worse (it fails more often) and good enough (not twice as often). "Not twice" is
/// easier to prove: at a weight of 10 % the canary is healthy after about 5,000 canary calls, and
/// proven worse after about 20,000. From then on it is degraded, because proven harm takes
/// priority. If `worse.ratio` is at least `good.ratio` and `worse.rate` at least `good.rate`, no
/// canary is both. A canary between the margins then stays inconclusive.
///
/// # Defaults
///
/// | for | `worse` | `good` | why |
/// |---|---|---|---|
/// | failures | 1, 0.1 % | 2, 0.5 % | any rise is harm; most services promise three nines, and a good canary with few errors is proven within about 840 calls |
/// | slow calls, quantile `q` | odds 1.25, odds 1.5 | odds 2, odds 2 | the timing of a new build always differs a little, and `1 - q` is stable's rate by definition |
/// | slow calls, fixed limit | 1.25, 1 % | 2, 2 % | as above, for a service that keeps its limit for 99 % of calls |
/// | cancelled calls | 1.25, 1 % | 2, 2 % | callers also cancel for reasons that the service cannot influence |
/// | unanswered calls | 1.25, 0.1 % | none | one call in 1,000 that hangs is harm, unless stable's calls do so as well; nothing has to be proven |
/// | feedback | 1.25, 2 % | 1.5, 5 % | few users rate, mostly to complain |
/// | application events | 1, 0.1 % | 2, 0.5 % | like failures |
///
/// With a quantile, the margins are about odds instead of rates: half of stable's calls are slower
/// than its median, so no canary could have more than twice as many. Odds of 1.25 are 1.11 times
/// the rate for p50, 1.22 for p90 and 1.25 for p99. Odds of 2 are 1.33, 1.82 and 1.98 times the
/// rate. The absolute rates are `1 - q` at these odds, and at most 2 %.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Margins {
    worse: Margin,
    good: Margin,
}

impl Margin {
    /// Returns whether the rate is an absolute limit; see [`Margins::of_limit`].
    pub(crate) fn is_limit(self) -> bool {
        self.ratio < 1.0
    }
}

impl Margins {
    pub(crate) const FAILURES: Self = Self {
        worse: Margin { ratio: 1.0, rate: 0.001 },
        good: Margin { ratio: 2.0, rate: 0.005 },
    };
    pub(crate) const CANCELLED: Self =
        Self { worse: Margin { ratio: 1.25, rate: 0.01 }, good: Margin { ratio: 2.0, rate: 0.02 } };
    pub(crate) const UNANSWERED: Self = Self {
        worse: Margin { ratio: 1.25, rate: 0.001 },
        good: Margin { ratio: 2.0, rate: 0.02 },
    };
    pub(crate) const FEEDBACK: Self =
        Self { worse: Margin { ratio: 1.25, rate: 0.02 }, good: Margin { ratio: 1.5, rate: 0.05 } };
    pub(crate) const SLOW: Self = Self::CANCELLED;

    /// Returns margins that compare the canary's rate with a limit, and not with stable's: "worse" is
    /// above the limit, and "good" below it. With a ratio of nearly zero, the bets against stable
    /// prove any adverse call worse and none good, so that those against the rate decide.
    pub(crate) const fn of_limit(rate: f64) -> Self {
        let margin = Margin { ratio: 1e-9, rate };
        Self { worse: margin, good: margin }
    }

    pub(crate) fn of_quantile(quantile: f64) -> Self {
        let slow = 1.0 - quantile;
        let at_odds = |odds: f64| odds * slow / (1.0 - slow + odds * slow);
        // A limit is rounded up to a bucket edge, and stable may have hardly any calls beyond that.
        // A rate derived from the quantile alone would then allow the canary many.
        let margin =
            |ratio, rate| Margin { ratio: at_odds(ratio) / slow, rate: at_odds(rate).min(0.02) };
        Self { worse: margin(1.25, 1.5), good: margin(2.0, 2.0) }
    }

    /// Creates margins.
    ///
    /// # Errors
    ///
    /// Returns an error if `worse.ratio` or `good.ratio` is not within 1 to 1000, `worse.rate` is
    /// not at least 10^-9 and below 0.9 (the highest rate that the evidence tests), or `good.rate`
    /// is not at least 10^-9 and below 1.
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
        // This also refuses NaN, for which every comparison is false.
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

    /// Returns the margins of the brake during a warm-up: worse is above one half.
    pub(crate) const fn of_brake(self) -> Self {
        let Margin { ratio, rate } = self.worse;
        Self { worse: Margin { ratio, rate: rate.max(0.5) }, ..self }
    }

    /// Returns the margin beyond which the canary is worse.
    #[must_use]
    pub const fn worse(&self) -> Margin {
        self.worse
    }

    /// Returns the margin below which the canary is good enough.
    #[must_use]
    pub const fn good(&self) -> Margin {
        self.good
    }
}

/// Evidence about a lower rate would take more than 10^9 calls.
const LOWEST_RATE: f64 = 1e-9;

/// A margin that is out of range.
#[derive(Clone, PartialEq)]
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

canary_core::debug_as_display!(MarginError);

impl error::Error for MarginError {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Levels, statistics::Evidence};

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
        // A fifth of the smallest positive number is zero.
        for rate in [0.0, 5e-324, 9e-10, -1.0] {
            let low = Margin { rate, ..fine };
            assert!(Margins::try_new(low, fine).is_err() && Margins::try_new(fine, low).is_err());
        }
    }

    #[test]
    fn evidence_at_the_lowest_margins_and_levels_is_finite() {
        let lowest = Margin { ratio: 1.0, rate: 1e-9 };
        let mut evidence = Evidence::new(Margins::try_new(lowest, lowest).unwrap());
        evidence.add_counts(
            canary_core::PerChannel { stable: 9, canary: u64::MAX },
            canary_core::PerChannel { stable: 1, canary: 3 },
        );
        evidence.add_trials(u64::MAX, 3);
        assert!(evidence.log_e_worse().is_finite() && evidence.log_e_good().is_finite());
        assert!(Levels::try_new(1e-12, 1e-12).is_ok() && Levels::try_new(5e-324, 0.1).is_err());
    }
}
