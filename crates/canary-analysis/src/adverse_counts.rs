use std::{error, fmt};

use canary_core::{Channel, PerChannel, Weight};

/// What was counted in some stretch of time at one weight.
///
/// A tick never spans a change of the weight: a call belongs to the weight at which it was
/// assigned, however long it lasts. An *adverse* event is a call that went badly, in whatever sense
/// its monitor watches.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct AdverseCounts {
    weight: Weight,
    calls: PerChannel<u64>,
    adverse: PerChannel<u64>,
}

impl AdverseCounts {
    /// A tick of `calls`, among them those that were `adverse`.
    ///
    /// # Errors
    ///
    /// If a channel has more adverse events than calls.
    pub fn try_new(
        weight: Weight,
        calls: PerChannel<u64>,
        adverse: PerChannel<u64>,
    ) -> Result<Self, AdverseCountsError> {
        for channel in Channel::ALL {
            if adverse[channel] > calls[channel] {
                let fault = Fault::MoreAdverse { adverse: adverse[channel], calls: calls[channel] };
                return Err(AdverseCountsError { channel, fault });
            }
        }
        Ok(Self { weight, calls, adverse })
    }

    /// What was counted after `earlier`, if both are running totals at the same weight.
    ///
    /// # Errors
    ///
    /// If a count is lower than it was in `earlier`, or the adverse events grew by more than the
    /// calls.
    pub fn since(&self, earlier: &Self) -> Result<Self, AdverseCountsError> {
        let less = |count, now: PerChannel<u64>, then: PerChannel<u64>| {
            let mut difference = PerChannel::default();
            for channel in Channel::ALL {
                let (from, to) = (then[channel], now[channel]);
                let fault = Fault::WentBackwards { count, from, to };
                difference[channel] =
                    to.checked_sub(from).ok_or(AdverseCountsError { channel, fault })?;
            }
            Ok(difference)
        };
        let calls = less("calls", self.calls, earlier.calls)?;
        Self::try_new(self.weight, calls, less("adverse", self.adverse, earlier.adverse)?)
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

/// Counts that cannot be. The message names the channel and the counts.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct AdverseCountsError {
    channel: Channel,
    fault: Fault,
}

#[derive(Clone, Debug, Eq, PartialEq)]
enum Fault {
    MoreAdverse { adverse: u64, calls: u64 },
    WentBackwards { count: &'static str, from: u64, to: u64 },
}

impl fmt::Display for AdverseCountsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let channel = self.channel;
        match self.fault {
            Fault::MoreAdverse { adverse, calls } => {
                write!(f, "{channel} has {adverse} adverse events in {calls} calls")
            }
            Fault::WentBackwards { count, from, to } => {
                write!(f, "the count `{count}` of {channel} went back from {from} to {to}")
            }
        }
    }
}

impl error::Error for AdverseCountsError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(calls: u64, adverse: u64) -> Result<AdverseCounts, AdverseCountsError> {
        let of = |canary| PerChannel { stable: 100, canary };
        AdverseCounts::try_new(Weight::from_percent(1), of(calls), of(adverse))
    }

    #[test]
    fn more_adverse_events_than_calls_are_refused() {
        let error = tick(2, 3).unwrap_err();
        assert_eq!(error.to_string(), "canary has 3 adverse events in 2 calls");
    }

    #[test]
    fn counts_that_went_backwards_are_named() {
        let error = tick(7, 2).unwrap().since(&tick(9, 2).unwrap()).unwrap_err();
        assert_eq!(error.to_string(), "the count `calls` of canary went back from 9 to 7");
        let difference = tick(9, 3).unwrap().since(&tick(7, 2).unwrap()).unwrap();
        assert_eq!((difference.calls().canary, difference.adverse().canary), (2, 1));
    }
}
