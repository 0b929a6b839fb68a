use std::{error, fmt};

use crate::{Channel, Latencies, Outcome, PerChannel};

/// What became of the calls that were assigned to one channel.
///
/// Every call that was picked has ended in one of four ways or is still in flight:
///
/// ```text
/// picked = success + failure + cancelled + spilled + in flight
/// ```
///
/// All counts only ever grow.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct ChannelCounts {
    /// Calls assigned to the channel.
    pub picked: u64,
    /// Calls that ended as [`Outcome::Success`].
    pub success: u64,
    /// Calls that ended as [`Outcome::Failure`].
    pub failure: u64,
    /// Calls that ended as [`Outcome::Cancelled`].
    pub cancelled: u64,
    /// Calls given to stable because the canary was not ready for them. They are the canary's fault,
    /// and appear a second time as stable's, [aside](Counts::aside). Stable itself never spills.
    pub spilled: u64,
    /// Calls, all of them counted elsewhere too, in which the service panicked.
    pub panicked: u64,
    /// Time from the call to the head of its response.
    pub head: Latencies,
    /// Time from the call to the end of its response, of those that were not cancelled.
    pub end: Latencies,
}

impl ChannelCounts {
    /// Calls that ended with this outcome.
    #[must_use]
    pub const fn outcome(&self, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Success => self.success,
            Outcome::Failure => self.failure,
            Outcome::Cancelled => self.cancelled,
        }
    }

    /// Calls that are no longer in flight.
    #[must_use]
    pub const fn ended(&self) -> u64 {
        self.success + self.failure + self.cancelled + self.spilled
    }

    /// Calls whose response, upgraded connection included, has not ended yet.
    #[must_use]
    pub const fn in_flight(&self) -> u64 {
        self.picked.saturating_sub(self.ended())
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        let Self { picked, success, failure, cancelled, spilled, panicked, head, end } = self;
        *picked += other.picked;
        *success += other.success;
        *failure += other.failure;
        *cancelled += other.cancelled;
        *spilled += other.spilled;
        *panicked += other.panicked;
        head.merge(&other.head);
        end.merge(&other.end);
    }

    fn since(&self, earlier: &Self) -> Result<Self, &'static str> {
        let Self { picked, success, failure, cancelled, spilled, panicked, head, end } = self;
        let less = |now: &u64, then: u64, name| now.checked_sub(then).ok_or(name);
        Ok(Self {
            picked: less(picked, earlier.picked, "picked")?,
            success: less(success, earlier.success, "success")?,
            failure: less(failure, earlier.failure, "failure")?,
            cancelled: less(cancelled, earlier.cancelled, "cancelled")?,
            spilled: less(spilled, earlier.spilled, "spilled")?,
            panicked: less(panicked, earlier.panicked, "panicked")?,
            head: head.checked_sub(&earlier.head).ok_or("head")?,
            end: end.checked_sub(&earlier.end).ok_or("end")?,
        })
    }
}

/// The counts of both channels, those that may be compared apart from those that may not.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub struct Counts {
    /// Calls whose channel was decided by the weight. Only these tell how the channels compare.
    pub evidence: PerChannel<ChannelCounts>,
    /// Calls that a channel served for another reason: stable's are the canary's spilled ones.
    pub aside: PerChannel<ChannelCounts>,
}

impl Counts {
    /// Everything that was picked for `channel`, evidence or not.
    #[must_use]
    pub fn total(&self, channel: Channel) -> ChannelCounts {
        let mut total = self.evidence[channel].clone();
        total.merge(&self.aside[channel]);
        total
    }

    /// The share of calls that the canary was picked for, `0.0..=1.0`; none before the first call.
    ///
    /// The share is what we saw, the [`Weight`](crate::Weight) what we asked for. Calls put
    /// [aside](Self::aside) have no part in it.
    #[must_use]
    pub fn share(&self) -> Option<f64> {
        let (stable, canary) = (self.evidence.stable.picked, self.evidence.canary.picked);
        #[expect(clippy::cast_precision_loss, reason = "a share is off by 1e-16 of itself at most")]
        let share = canary as f64 / (stable + canary) as f64;
        (stable + canary > 0).then_some(share)
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        for channel in Channel::ALL {
            self.evidence[channel].merge(&other.evidence[channel]);
            self.aside[channel].merge(&other.aside[channel]);
        }
    }

    /// What was counted after `earlier`.
    ///
    /// # Errors
    ///
    /// If a count is lower than it was in `earlier`, which then is no earlier state of these counts.
    pub fn since(&self, earlier: &Self) -> Result<Self, CountsWentBackwards> {
        let mut difference = Self::default();
        for channel in Channel::ALL {
            let fail = |count| CountsWentBackwards { channel, count };
            difference.evidence[channel] =
                self.evidence[channel].since(&earlier.evidence[channel]).map_err(fail)?;
            difference.aside[channel] =
                self.aside[channel].since(&earlier.aside[channel]).map_err(fail)?;
        }
        Ok(difference)
    }
}

/// A count was lower than before, although counts only grow.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CountsWentBackwards {
    channel: Channel,
    count: &'static str,
}

impl fmt::Display for CountsWentBackwards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel, count } = self;
        write!(f, "the count `{count}` of {channel} is lower than it was earlier")
    }
}

impl error::Error for CountsWentBackwards {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_since_an_earlier_state_are_the_difference() {
        let mut earlier = Counts::default();
        earlier.evidence.canary.picked = 3;
        let mut now = earlier.clone();
        now.evidence.canary.picked = 5;
        now.aside.stable.failure = 1;

        let difference = now.since(&earlier).unwrap();
        assert_eq!(difference.evidence.canary.picked, 2);
        assert_eq!(difference.total(Channel::Stable).failure, 1);
    }

    #[test]
    fn counts_that_went_backwards_are_named() {
        let mut earlier = Counts::default();
        earlier.evidence.canary.failure = 1;
        let error = Counts::default().since(&earlier).unwrap_err();
        assert_eq!(error.to_string(), "the count `failure` of canary is lower than it was earlier");
    }

    #[test]
    fn there_is_no_share_before_the_first_call() {
        assert_eq!(Counts::default().share(), None);
    }

    #[test]
    fn the_share_counts_only_calls_that_the_weight_assigned() {
        let mut counts = Counts::default();
        counts.evidence.stable.picked = 3;
        counts.evidence.canary.picked = 1;
        counts.aside.canary.picked = 100;
        assert_eq!(counts.share(), Some(0.25));
    }
}
