use std::fmt;

/// What the judge says of the canary, or of one thing it watches.
///
/// Knowing too little is a verdict of its own: it is neither a reason to go on nor one to go back.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a rollout must answer each verdict, and a fourth would be a new kind of rollout"
)]
pub enum Verdict {
    /// The canary is proven good enough.
    Healthy,
    /// The canary is proven worse than stable.
    Degraded,
    /// Neither is proven, be it for lack of calls or because the truth lies between the margins.
    #[default]
    Inconclusive,
}

impl Verdict {
    /// The verdict's name as it stands in labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Inconclusive => "inconclusive",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
