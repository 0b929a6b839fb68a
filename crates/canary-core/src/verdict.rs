use std::fmt;

/// The judgment about a canary, or about one monitor.
///
/// Too little evidence gives [`Inconclusive`](Self::Inconclusive), which justifies neither an
/// advance nor a rollback.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a rollout must handle each verdict")]
pub enum Verdict {
    /// The canary is proven good enough.
    Healthy,
    /// The canary is proven worse than stable.
    Degraded,
    /// Neither is proven: there are too few calls, or the difference lies between the margins.
    #[default]
    Inconclusive,
}

impl Verdict {
    /// Returns the name for labels and logs.
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
