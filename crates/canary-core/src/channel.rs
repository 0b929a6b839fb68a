use std::{fmt, ops};

/// One of the two versions of a service that a canary release runs side by side.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(
    clippy::exhaustive_enums,
    reason = "a canary release has two channels; code that matches both is complete"
)]
pub enum Channel {
    /// The version that served every call before the release.
    Stable,
    /// The new version. The weight is its share of the calls.
    Canary,
}

impl Channel {
    /// Both channels, stable first.
    pub const ALL: [Self; 2] = [Self::Stable, Self::Canary];

    /// Returns the name for headers, labels and logs: `stable` or `canary`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stable => "stable",
            Self::Canary => "canary",
        }
    }
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A pair of values, one for each [`Channel`].
///
/// ```
/// use canary_core::{Channel, PerChannel};
///
/// let mut calls = PerChannel { stable: 990, canary: 10 };
/// calls[Channel::Canary] += 1;
/// assert_eq!(calls.canary, 11);
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "one field per channel, and there are two channels")]
pub struct PerChannel<T> {
    /// The value of stable.
    pub stable: T,
    /// The value of the canary.
    pub canary: T,
}

impl<T> PerChannel<T> {
    /// Calls `make` for each channel, stable first.
    #[must_use]
    pub fn from_fn(mut make: impl FnMut(Channel) -> T) -> Self {
        Self { stable: make(Channel::Stable), canary: make(Channel::Canary) }
    }
}

impl PerChannel<u64> {
    /// Adds the counts of each channel. A sum that does not fit stays at `u64::MAX`.
    #[must_use]
    pub const fn saturating_add(self, other: Self) -> Self {
        Self {
            stable: self.stable.saturating_add(other.stable),
            canary: self.canary.saturating_add(other.canary),
        }
    }

    /// Returns the sum of both channels, or `u64::MAX` if it does not fit.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.stable.saturating_add(self.canary)
    }
}

impl<T> ops::Index<Channel> for PerChannel<T> {
    type Output = T;

    fn index(&self, channel: Channel) -> &T {
        match channel {
            Channel::Stable => &self.stable,
            Channel::Canary => &self.canary,
        }
    }
}

impl<T> ops::IndexMut<Channel> for PerChannel<T> {
    fn index_mut(&mut self, channel: Channel) -> &mut T {
        match channel {
            Channel::Stable => &mut self.stable,
            Channel::Canary => &mut self.canary,
        }
    }
}
