use std::{error, fmt};

use canary_core::{Channel, PerChannel, Weight};

/// The calls, and the adverse ones among them, in a stretch of time with one weight.
///
/// A call belongs to the weight at which it was assigned, however long it lasts. A call is
/// *adverse* if it failed, was slow or whatever its monitor watches. For feedback and events,
/// "calls" are ratings or events.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdverseCounts {
    weight: Weight,
    calls: PerChannel<u64>,
    adverse: PerChannel<u64>,
}

impl AdverseCounts {
    /// Creates counts of `calls`, `adverse` of them adverse.
    ///
    /// # Errors
    ///
    /// Returns an error if a channel has more adverse events than calls.
    pub fn try_new(
        weight: Weight,
        calls: PerChannel<u64>,
        adverse: PerChannel<u64>,
    ) -> Result<Self, AdverseCountsError> {
        for channel in Channel::ALL {
            let (calls, adverse) = (calls[channel], adverse[channel]);
            if adverse > calls {
                return Err(AdverseCountsError::MoreAdverse { channel, adverse, calls });
            }
        }
        Ok(Self { weight, calls, adverse })
    }

    /// Returns the counts after `earlier`, if both are running totals at the same weight.
    ///
    /// # Errors
    ///
    /// Returns an error if a count is lower than in `earlier`, or the adverse events grew by more
    /// than the calls.
    pub fn since(&self, earlier: &Self) -> Result<Self, AdverseCountsError> {
        let subtract = |count, now: PerChannel<u64>, then: PerChannel<u64>| {
            let mut difference = PerChannel::default();
            for channel in Channel::ALL {
                let (from, to) = (then[channel], now[channel]);
                let error = AdverseCountsError::WentBackwards { channel, count, from, to };
                difference[channel] = to.checked_sub(from).ok_or(error)?;
            }
            Ok(difference)
        };
        let calls = subtract("calls", self.calls, earlier.calls)?;
        Self::try_new(self.weight, calls, subtract("adverse", self.adverse, earlier.adverse)?)
    }

    /// Returns the weight at which the calls were assigned.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.weight
    }

    /// Returns the number of calls.
    #[must_use]
    pub const fn calls(&self) -> PerChannel<u64> {
        self.calls
    }

    /// Returns the number of adverse calls.
    #[must_use]
    pub const fn adverse(&self) -> PerChannel<u64> {
        self.adverse
    }
}

/// Impossible counts.
#[derive(Clone, Eq, PartialEq)]
#[non_exhaustive]
pub enum AdverseCountsError {
    /// A channel has more adverse events than calls.
    MoreAdverse {
        /// The channel.
        channel: Channel,
        /// Its adverse events.
        adverse: u64,
        /// Its calls.
        calls: u64,
    },
    /// A running total is lower than it was.
    WentBackwards {
        /// The channel.
        channel: Channel,
        /// The name of the count: `calls` or `adverse`.
        count: &'static str,
        /// The earlier value.
        from: u64,
        /// The later value.
        to: u64,
    },
}

impl fmt::Display for AdverseCountsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::MoreAdverse { channel, adverse, calls } => {
                write!(f, "{channel} has {adverse} adverse events in {calls} calls")
            }
            Self::WentBackwards { channel, count, from, to } => {
                write!(f, "the count `{count}` of {channel} went back from {from} to {to}")
            }
        }
    }
}

canary_core::debug_as_display!(AdverseCountsError);

impl error::Error for AdverseCountsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(calls: u64, adverse: u64) -> Result<AdverseCounts, AdverseCountsError> {
        let of = |canary| PerChannel { stable: 100, canary };
        AdverseCounts::try_new(Weight::from_percent(1), of(calls), of(adverse))
    }

    #[test]
    fn more_adverse_events_than_calls_are_refused() {
        let error = counts(2, 3).unwrap_err();
        assert_eq!(error.to_string(), "canary has 3 adverse events in 2 calls");
    }

    #[test]
    fn counts_that_went_backwards_are_named() {
        let error = counts(7, 2).unwrap().since(&counts(9, 2).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the count `calls` of canary went back from 9 to 7");
        let difference = counts(9, 3).unwrap().since(&counts(7, 2).unwrap()).unwrap();
        assert_eq!((difference.calls().canary, difference.adverse().canary), (2, 1));
    }
}
