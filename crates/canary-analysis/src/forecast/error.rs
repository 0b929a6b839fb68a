use std::{error, fmt};

/// An invalid parameter of a [`Forecast`](crate::Forecast).
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum ForecastError {
    /// The number of calls per second.
    Calls(f64),
    /// The base rate of adverse events.
    Rate(f64),
    /// The duration of the plan.
    Plan,
}

impl fmt::Display for ForecastError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls(calls) => {
                write!(f, "{calls} calls per second, expected more than 0 and at most 10^9")
            }
            Self::Rate(rate) => write!(f, "base rate {rate}, expected at least 0 and below 1"),
            Self::Plan => f.write_str("the plan is empty or longer than 366 days"),
        }
    }
}

canary_core::debug_as_display!(ForecastError);

impl error::Error for ForecastError {}
