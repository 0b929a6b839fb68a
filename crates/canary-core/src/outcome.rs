use std::fmt;

/// The end of a call.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the counting identity `picked = success + failure + cancelled + ..` needs a closed set"
)]
pub enum Outcome {
    /// The response ended, and reports no fault of the service.
    Success,
    /// The service failed: an error, a status of a server error, a panic or a missed deadline.
    Failure,
    /// The caller abandoned the call before the response ended. This is neither success nor
    /// failure.
    Cancelled,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Cancelled];

    /// Returns the name for labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
