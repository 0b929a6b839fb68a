use std::{error, fmt};

/// An absolute limit for the canary's adverse calls, whatever stable does.
///
/// # Method
///
/// - A **rate**: the null hypothesis of "degraded" is that each call of the canary is adverse with a
///   probability of at most the limit, given everything before it. That of "healthy" is that it is
///   at least the limit. Both are tested by the e-process on the canary's rate, the mean of the
///   likelihood ratios of a few alternatives (Waudby-Smith and Ramdas, "Estimating means of bounded
///   random variables by betting", JRSS B 2024), so that the verdict can be read at any time. A
///   canary within about a tenth of the limit stays inconclusive.
/// - A **count**: the canary is degraded with the next adverse call. This takes no part of `alpha`,
///   and nothing has to be proven.
///
/// Stable's calls do not matter. So an outage of both versions, which is no evidence in a comparison,
/// can exceed a limit, and a canary can be healthy although stable is better: use limits beside
/// comparisons, not in their place.
///
/// # Example
///
/// ```
/// use canary_analysis::{Limit, Monitor};
///
/// // Success at least 99.9 %.
/// let monitor = Monitor::failures().at_most(Limit::rate(0.001)?);
/// assert_eq!(monitor.name(), "failures at most 0.1%");
/// // At most five checkouts fail.
/// let monitor = Monitor::failures().of_class("checkout").at_most(Limit::count(5));
/// assert_eq!(monitor.name(), "failures of checkout at most 5");
/// # Ok::<(), canary_analysis::error::LimitError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit(LimitKind);

#[derive(Clone, Copy, Debug, PartialEq)]
enum LimitKind {
    Rate(f64),
    Count(u64),
}

impl Limit {
    /// Creates a limit for the fraction of the canary's calls that are adverse.
    ///
    /// # Errors
    ///
    /// Returns an error if `rate` is not within 10^-6 to 0.5. Evidence about a lower rate would take
    /// millions of calls.
    pub fn rate(rate: f64) -> Result<Self, LimitError> {
        if (1e-6..=0.5).contains(&rate) {
            Ok(Self(LimitKind::Rate(rate)))
        } else {
            Err(LimitError(rate))
        }
    }

    /// Creates a limit for the number of the canary's adverse calls in the whole rollout.
    #[must_use]
    pub const fn count(calls: u64) -> Self {
        Self(LimitKind::Count(calls))
    }

    pub(crate) const fn as_rate(self) -> Option<f64> {
        match self.0 {
            LimitKind::Rate(rate) => Some(rate),
            LimitKind::Count(_) => None,
        }
    }

    pub(crate) const fn as_count(self) -> Option<u64> {
        match self.0 {
            LimitKind::Rate(_) => None,
            LimitKind::Count(calls) => Some(calls),
        }
    }
}

/// Formats the limit for names and sentences: `0.1%` or `5`.
impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // 100.0 * 0.07 is not exactly 7.
            LimitKind::Rate(rate) => write!(f, "{}%", (1e8 * rate).round() / 1e6),
            LimitKind::Count(calls) => write!(f, "{calls}"),
        }
    }
}

/// A rate that is out of range for a [`Limit`].
#[derive(Clone, Copy, PartialEq)]
pub struct LimitError(f64);

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "limit {}, expected a rate of 0.000001 to 0.5", self.0)
    }
}

canary_core::debug_as_display!(LimitError);

impl error::Error for LimitError {}
