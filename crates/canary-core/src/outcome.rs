use std::fmt;

/// How a call ended.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the counting identity `picked = success + failure + cancelled + ..` needs a closed set"
)]
pub enum Outcome {
    /// The response ended, and was not the service's fault, whatever it said to the caller.
    Success,
    /// The service failed: an error, a server-side status, a panic, a missed deadline.
    Failure,
    /// The caller went away before the response ended: neither success nor failure.
    Cancelled,
}

impl Outcome {
    /// All outcomes.
    pub const ALL: [Self; 3] = [Self::Success, Self::Failure, Self::Cancelled];

    /// The outcome's name as it stands in labels and logs.
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
