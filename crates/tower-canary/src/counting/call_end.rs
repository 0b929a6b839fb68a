//! The ways in which a call of a channel ends.

use canary_core::Outcome;

/// How a call ended. Each call of a channel is counted as exactly one of these.
///
/// The parts of a public count are counted separately, so that a reader never sees a part that is
/// larger than the whole.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum CallEnd {
    Success,
    /// A success that the request alone made; see [`ChannelCounts::client_made`].
    ///
    /// [`ChannelCounts::client_made`]: canary_core::ChannelCounts::client_made
    ClientMade,
    Failure,
    Cancelled,
    /// The caller left after it saw the channel; see [`ChannelCounts::cancelled_after_tag`].
    ///
    /// [`ChannelCounts::cancelled_after_tag`]: canary_core::ChannelCounts::cancelled_after_tag
    CancelledAfterTag,
    /// Spilled, because the canary was not ready.
    NotReady,
    /// Spilled, because of a concurrency limit.
    Shed,
}

impl CallEnd {
    pub(crate) const COUNT: usize = Self::Shed as usize + 1;

    /// Returns whether the end counts against the channel.
    pub(crate) const fn is_adverse(self) -> bool {
        matches!(self, Self::Failure | Self::NotReady)
    }

    /// Returns whether the time to the end of the response measures the channel.
    ///
    /// The time of a cancelled call would measure the patience of its caller.
    pub(crate) const fn is_timed(self) -> bool {
        matches!(self, Self::Success | Self::ClientMade | Self::Failure)
    }
}

impl From<Outcome> for CallEnd {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Success => Self::Success,
            Outcome::Failure => Self::Failure,
            Outcome::Cancelled => Self::Cancelled,
        }
    }
}
