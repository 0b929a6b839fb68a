//! The outcomes of calls, in a form that tests can compare.

use tower_canary::{CanaryHandle, Channel, counts::Counts};

use crate::final_counts;

/// The outcomes of the calls of one channel. Tests write only the numbers that are not zero.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(clippy::exhaustive_structs, reason = "tests construct the outcomes that they expect")]
pub struct Outcomes {
    /// Successes.
    pub success: u64,
    /// Failures.
    pub failure: u64,
    /// Calls that the caller cancelled.
    pub cancelled: u64,
    /// Calls that spilled to stable.
    pub spilled: u64,
    /// Failures that are panics.
    pub panicked: u64,
    /// Calls that have not ended.
    pub in_flight: u64,
}

impl Outcomes {
    /// No calls.
    pub const NONE: Self =
        Self { success: 0, failure: 0, cancelled: 0, spilled: 0, panicked: 0, in_flight: 0 };

    /// Returns a number of successes and no other calls.
    #[must_use]
    pub const fn success(success: u64) -> Self {
        Self { success, ..Self::NONE }
    }

    /// Returns a number of failures and no other calls.
    #[must_use]
    pub const fn failure(failure: u64) -> Self {
        Self { failure, ..Self::NONE }
    }

    /// Returns a number of cancelled calls and no others.
    #[must_use]
    pub const fn cancelled(cancelled: u64) -> Self {
        Self { cancelled, ..Self::NONE }
    }

    /// Returns a number of panics, which are failures as well, and no other calls.
    #[must_use]
    pub const fn panicked(panicked: u64) -> Self {
        Self { panicked, ..Self::failure(panicked) }
    }

    /// Returns a number of open calls and no others.
    #[must_use]
    pub const fn in_flight(in_flight: u64) -> Self {
        Self { in_flight, ..Self::NONE }
    }

    /// Returns the outcomes of `channel` in `counts`.
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

    /// Returns the current outcomes of `channel`.
    #[must_use]
    pub fn now(handle: &CanaryHandle, channel: Channel) -> Self {
        Self::of(&handle.counts().total(), channel)
    }
}

/// Waits until no call is open, and returns the outcomes of stable and of the canary.
///
/// See [`final_counts`].
///
/// # Panics
///
/// If a call stays open, or an invariant of the counts does not hold.
pub async fn final_outcomes(handle: &CanaryHandle) -> [Outcomes; 2] {
    let counts = final_counts(handle).await;
    Channel::ALL.map(|channel| Outcomes::of(&counts, channel))
}
