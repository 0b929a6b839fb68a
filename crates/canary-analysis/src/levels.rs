use std::{error, fmt};

/// The error rates that the judge does not exceed. By default, `alpha` is 1 % and `beta` is 5 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Levels {
    alpha: f64,
    beta: f64,
}

impl Levels {
    /// Creates levels.
    ///
    /// - `alpha` bounds the probability that a canary that is not worse is called degraded by any
    ///   deciding monitor at any time of a rollout.
    /// - `beta` bounds the probability that a canary that is not good enough is called healthy at
    ///   any time of a rollout.
    ///
    /// # Errors
    ///
    /// Returns an error if a level is not within 10^-12 to 0.5.
    pub fn try_new(alpha: f64, beta: f64) -> Result<Self, LevelError> {
        for (name, value) in [("alpha", alpha), ("beta", beta)] {
            if !(MIN_LEVEL..=0.5).contains(&value) {
                return Err(LevelError { name, value });
            }
        }
        Ok(Self { alpha, beta })
    }

    /// Returns the bound on the probability of a false rollback.
    #[must_use]
    pub const fn alpha(&self) -> f64 {
        self.alpha
    }

    /// Returns the bound on the probability of a false healthy verdict.
    #[must_use]
    pub const fn beta(&self) -> f64 {
        self.beta
    }

    /// Returns the log e-value at which a monitor with this part of `alpha` calls the canary
    /// degraded.
    pub(crate) fn worse_threshold(&self, part: f64) -> f64 {
        (1.0 / (part * self.alpha)).ln()
    }

    /// Returns the log e-value at which a monitor calls the canary healthy.
    pub(crate) fn good_threshold(&self) -> f64 {
        (1.0 / self.beta).ln()
    }
}

/// Neither random assignment nor counting is reliable at odds above 10^12.
pub(crate) const MIN_LEVEL: f64 = 1e-12;

impl Default for Levels {
    fn default() -> Self {
        Self { alpha: 0.01, beta: 0.05 }
    }
}

/// A level that is out of range.
#[derive(Clone, PartialEq)]
pub struct LevelError {
    name: &'static str,
    value: f64,
}

impl fmt::Display for LevelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "level `{}` is {}, expected 1e-12 to 0.5", self.name, self.value)
    }
}

canary_core::debug_as_display!(LevelError);

impl error::Error for LevelError {}
