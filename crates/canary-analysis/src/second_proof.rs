use std::{error, fmt};

use crate::monitor::{Measure, Monitor};

/// When the judge asks for a second proof of harm, and how strong it must be.
///
/// In most services, a failure is the failure of one call, and the bets on single failures are
/// fair. If pods, pools or garbage collectors make each channel fail on its own from time to time,
/// one outage brings many failures on one channel, and a canary that is as good as stable is called
/// degraded at its first outage. So if stable shows such outages, harm must also show over blocks
/// of time, each at least twice as long as an outage. Pods that hang on their own are such outages too,
/// for the monitor of unanswered calls.
///
/// # Price
///
/// Services without such outages pay nothing. In a service that has them, detection takes longer: a
/// canary that fails every call takes about a minute, where it takes two to four calls otherwise,
/// and some minutes if the outages last half a minute. Harm that consists of more outages of the
/// same kind may go unnoticed for an hour. [`SecondProof::NEVER`] avoids this price: a canary then
/// is called degraded at its first outage.
///
/// # Example
///
/// ```
/// use canary_analysis::SecondProof;
///
/// assert_eq!(SecondProof::default(), SecondProof::try_new(0.3, 20.0)?);
/// let error = SecondProof::try_new(0.3, 0.5).unwrap_err();
/// assert_eq!(error.to_string(), "odds of the second proof are 0.5, expected 1 to 1e12");
/// # Ok::<(), canary_analysis::error::SecondProofError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SecondProof {
    share: f64,
    odds: f64,
}

impl SecondProof {
    /// A second proof is never asked for.
    pub const NEVER: Self = Self { share: f64::INFINITY, odds: 1.0 };

    /// Creates the rule.
    ///
    /// - `share` is the part that stable's own outages must add to the variance of the number of
    ///   its failures, above 0 and at most 1000. With 0.3, they add 30 %.
    /// - `odds` are the odds against chance that the second proof needs, 1 to 10^12. At 20, a canary
    ///   as good as stable is called degraded with a probability of at most 5 %, however many
    ///   outages each of the channels has. Unanswered and cancelled calls need twice these odds
    ///   each: both show the same hang, at different times, and either can be wrong.
    ///
    /// # Errors
    ///
    /// Returns an error if a value is out of range.
    pub fn try_new(share: f64, odds: f64) -> Result<Self, SecondProofError> {
        if !(share > 0.0 && share <= 1000.0) {
            return Err(SecondProofError::Share(share));
        }
        if !(1.0..=1e12).contains(&odds) {
            return Err(SecondProofError::Odds(odds));
        }
        Ok(Self { share, odds })
    }

    /// Returns the part of the variance from which on a second proof is asked for.
    #[must_use]
    pub const fn share(&self) -> f64 {
        self.share
    }

    /// Returns the odds against chance that it needs.
    #[must_use]
    pub const fn odds(&self) -> f64 {
        self.odds
    }

    /// Returns the rule for one monitor.
    pub(crate) fn of_monitor(self, monitor: &Monitor) -> Self {
        match monitor.measure() {
            Measure::Unanswered | Measure::Cancelled => Self { odds: 2.0 * self.odds, ..self },
            _ => self,
        }
    }
}

impl Default for SecondProof {
    /// A share of 0.3 and odds of 20.
    fn default() -> Self {
        Self { share: 0.3, odds: 20.0 }
    }
}

/// A value of [`SecondProof`] that is out of range.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum SecondProofError {
    /// The part of the variance.
    Share(f64),
    /// The odds.
    Odds(f64),
}

impl fmt::Display for SecondProofError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(share) => write!(
                f,
                "share of outages for the second proof is {share}, expected above 0 and at most 1000"
            ),
            Self::Odds(odds) => {
                write!(f, "odds of the second proof are {odds}, expected 1 to 1e12")
            }
        }
    }
}

canary_core::debug_as_display!(SecondProofError);

impl error::Error for SecondProofError {}
