use std::{error, fmt};

use canary_core::{Channel, PerChannel, Weight};

/// What was counted in some stretch of time at one weight.
///
/// A tick never spans a change of the weight: a call belongs to the weight at which it was assigned,
/// however long it lasts. An *adverse* event is a call that went badly, in whatever sense its monitor
/// watches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tick {
    weight: Weight,
    calls: PerChannel<u64>,
    adverse: PerChannel<u64>,
}

impl Tick {
    /// A tick of `calls`, among them those that were `adverse`.
    ///
    /// # Errors
    ///
    /// If a channel has more adverse events than calls.
    pub fn try_new(
        weight: Weight,
        calls: PerChannel<u64>,
        adverse: PerChannel<u64>,
    ) -> Result<Self, TickError> {
        for channel in Channel::ALL {
            if adverse[channel] > calls[channel] {
                let (adverse, calls) = (adverse[channel], calls[channel]);
                return Err(TickError { channel, adverse, calls });
            }
        }
        Ok(Self { weight, calls, adverse })
    }

    /// The weight at which the calls were assigned.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.weight
    }

    /// All calls.
    #[must_use]
    pub const fn calls(&self) -> PerChannel<u64> {
        self.calls
    }

    /// The calls that went badly.
    #[must_use]
    pub const fn adverse(&self) -> PerChannel<u64> {
        self.adverse
    }
}

/// More calls went badly than there were.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TickError {
    channel: Channel,
    adverse: u64,
    calls: u64,
}

impl fmt::Display for TickError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, adverse, calls } = self;
        write!(f, "{channel} has {adverse} adverse events in {calls} calls")
    }
}

impl error::Error for TickError {}
