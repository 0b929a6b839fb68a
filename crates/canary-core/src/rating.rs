use std::fmt;

/// What somebody thinks of a call.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(
    clippy::exhaustive_enums,
    reason = "the judge compares how often it was bad; a third answer would be another question"
)]
pub enum Rating {
    /// It went well.
    Good,
    /// It did not.
    Bad,
}

impl Rating {
    /// Both ratings.
    pub const ALL: [Self; 2] = [Self::Good, Self::Bad];

    /// The rating as it stands in labels and requests: `good` or `bad`.
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
