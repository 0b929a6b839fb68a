//! How calls have ended, in a form that tests can compare.

use tower_canary::{CanaryHandle, Channel, counts::Counts};

use crate::patience::soon;

/// How the calls of one channel have ended. All that is not named in a test is zero.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "tests write down what they expect")]
pub struct Ended {
    /// Successes.
    pub success: u64,
    /// Failures.
    pub failure: u64,
    /// Calls that the caller left.
    pub cancelled: u64,
    /// Calls that spilled to stable.
    pub spilled: u64,
    /// Failures that are panics.
    pub panicked: u64,
    /// Calls that have not ended.
    pub in_flight: u64,
}

impl Ended {
    /// Nothing was called.
    pub const NOTHING: Self =
        Self { success: 0, failure: 0, cancelled: 0, spilled: 0, panicked: 0, in_flight: 0 };

    /// So many successes and nothing else.
    #[must_use]
    pub const fn success(success: u64) -> Self {
        Self { success, ..Self::NOTHING }
    }

    /// So many failures and nothing else.
    #[must_use]
    pub const fn failure(failure: u64) -> Self {
        Self { failure, ..Self::NOTHING }
    }

    /// So many cancelled calls and nothing else.
    #[must_use]
    pub const fn cancelled(cancelled: u64) -> Self {
        Self { cancelled, ..Self::NOTHING }
    }

    /// So many panics, which are failures too, and nothing else.
    #[must_use]
    pub const fn panicked(panicked: u64) -> Self {
        Self { panicked, ..Self::failure(panicked) }
    }

    /// So many open calls and nothing else.
    #[must_use]
    pub const fn in_flight(in_flight: u64) -> Self {
        Self { in_flight, ..Self::NOTHING }
    }

    /// What the counts say of `channel`.
    #[must_use]
    pub fn of(counts: &Counts, channel: Channel) -> Self {
        let total = counts.total(channel);
        Self {
            success: total.success,
            failure: total.failure,
            cancelled: total.cancelled,
            spilled: total.spilled,
            panicked: total.panicked,
            in_flight: total.in_flight(),
        }
    }

    /// What the handle's counts say of `channel` now.
    #[must_use]
    pub fn now(handle: &CanaryHandle, channel: Channel) -> Self {
        Self::of(&handle.counts().total(), channel)
    }
}

/// Waits until no call is open, and returns what was counted: stable, then canary.
///
/// Open calls are asked to drain on the way.
///
/// # Panics
///
/// If calls are still open after half a minute.
pub async fn all_ended(handle: &CanaryHandle) -> [Ended; 2] {
    for channel in Channel::ALL {
        let drain = handle.drain(channel);
        soon(drain.ended()).await;
    }
    Channel::ALL.map(|channel| Ended::now(handle, channel))
}
