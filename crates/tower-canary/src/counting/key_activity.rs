use canary_core::LatencyBucket;

use crate::counting::call_end::CallEnd;

/// The events of a key on one channel at one weight, each of them once, however often it happened.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub struct KeyActivity {
    /// A call was assigned to the channel.
    pub picked: bool,
    /// A call failed, or the canary was not ready for it.
    pub failed: bool,
    /// A call was cancelled by its caller, who did not know the channel.
    pub cancelled: bool,
    /// The longest time to the head of a response, if a head arrived.
    pub slowest_head: Option<LatencyBucket>,
    /// The longest time to the end of a response, if a call ended and was not cancelled.
    pub slowest_end: Option<LatencyBucket>,
}

impl KeyActivity {
    const NONE: Self = Self {
        picked: false,
        failed: false,
        cancelled: false,
        slowest_head: None,
        slowest_end: None,
    };

    pub(crate) const PICKED: Self = Self { picked: true, ..Self::NONE };

    pub(crate) const fn head(latency: LatencyBucket) -> Self {
        Self { slowest_head: Some(latency), ..Self::NONE }
    }

    /// Returns the event of a call that ended, without its latency.
    pub(crate) const fn of(end: CallEnd) -> Self {
        match end {
            CallEnd::Failure | CallEnd::NotReady => Self { failed: true, ..Self::NONE },
            CallEnd::Cancelled => Self { cancelled: true, ..Self::NONE },
            CallEnd::Success | CallEnd::ClientMade | CallEnd::CancelledAfterTag | CallEnd::Shed => {
                Self::NONE
            }
        }
    }

    pub(crate) const fn end(end: CallEnd, latency: LatencyBucket) -> Self {
        let slowest_end = if end.is_timed() { Some(latency) } else { None };
        Self { slowest_end, ..Self::of(end) }
    }

    pub(crate) fn and(self, other: Self) -> Self {
        Self {
            picked: self.picked || other.picked,
            failed: self.failed || other.failed,
            cancelled: self.cancelled || other.cancelled,
            slowest_head: self.slowest_head.max(other.slowest_head),
            slowest_end: self.slowest_end.max(other.slowest_end),
        }
    }
}
