use std::fmt;

/// The opinion of a user or of the application about a call.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_enums, reason = "the judge compares the rate of bad ratings")]
pub enum Rating {
    /// The call went well.
    Good,
    /// The call went badly.
    Bad,
}

impl Rating {
    /// Both ratings.
    pub const ALL: [Self; 2] = [Self::Good, Self::Bad];

    /// Returns the name for labels and requests: `good` or `bad`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
        }
    }
}

impl fmt::Display for Rating {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
