use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tower_canary::CanaryHandle;

/// Serializes weight increases with rollbacks.
///
/// The judge's guard and the [`RolloutHandle`](crate::RolloutHandle) roll the canary back without
/// waiting for the driver, which may be blocked on the store. Until the driver has processed such a
/// rollback, it must not raise the weight. Both rollbacks and increases therefore go through this
/// lock.
#[derive(Debug, Default)]
pub(crate) struct WeightLock {
    state: Mutex<LockState>,
    trip_signal: Notify,
}

#[derive(Debug, Default)]
struct LockState {
    on_trip: OnTrip,
    /// The current attempt. Trips of other attempts are ignored.
    attempt: u64,
    /// The finding of a trip, until the driver takes it.
    trip: Option<String>,
    /// Whether a trip has rolled the canary back, and the driver has not acknowledged it.
    is_unacknowledged: bool,
    /// The number of [`RollbackHold`]s.
    holds: usize,
}

/// The reaction to a trip of the guard, which has found the canary degraded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum OnTrip {
    /// No attempt is in progress, so there is nothing to do.
    #[default]
    Ignore,
    /// Notify the driver, which follows the plan.
    Notify,
    /// Roll back, and notify the driver.
    RollBack,
}

/// Blocks weight increases until it is dropped.
#[derive(Debug)]
pub(crate) struct RollbackHold(Arc<WeightLock>);

impl WeightLock {
    /// Reports that the guard of `attempt` has found the canary degraded.
    pub(crate) fn trip(&self, canary: &CanaryHandle, attempt: u64, finding: String) {
        let mut state = self.lock();
        if attempt != state.attempt {
            return;
        }
        match state.on_trip {
            OnTrip::Ignore => return,
            OnTrip::Notify => {}
            OnTrip::RollBack => {
                canary.roll_back();
                state.is_unacknowledged = true;
            }
        }
        state.trip = Some(finding);
        drop(state);
        self.trip_signal.notify_one();
    }

    /// Waits for a trip.
    pub(crate) async fn tripped(&self) {
        self.trip_signal.notified().await;
    }

    /// Returns the finding of the latest trip, once.
    pub(crate) fn take_trip(&self) -> Option<String> {
        self.lock().trip.take()
    }

    pub(crate) fn has_trip(&self) -> bool {
        self.lock().trip.is_some()
    }

    /// Marks the rollback by the guard as recorded in the rollout.
    pub(crate) fn acknowledge(&self) {
        self.lock().is_unacknowledged = false;
    }

    /// Sets the reaction to trips of this attempt. A trip of another attempt is discarded.
    pub(crate) fn set_on_trip(&self, on_trip: OnTrip, attempt: u64) {
        let mut state = self.lock();
        if state.attempt != attempt {
            (state.trip, state.is_unacknowledged) = (None, false);
        }
        (state.on_trip, state.attempt) = (on_trip, attempt);
    }

    /// Runs `lower`, and blocks increases until the hold is dropped.
    pub(crate) fn lower_and_hold(self: &Arc<Self>, lower: impl FnOnce()) -> RollbackHold {
        let mut state = self.lock();
        lower();
        state.holds += 1;
        RollbackHold(Arc::clone(self))
    }

    /// Runs `raise`, unless increases are blocked.
    pub(crate) fn raise_unless_blocked(&self, raise: impl FnOnce()) {
        let state = self.lock();
        if !state.is_blocked() {
            raise();
        }
    }

    pub(crate) fn is_blocked(&self) -> bool {
        self.lock().is_blocked()
    }

    fn lock(&self) -> MutexGuard<'_, LockState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LockState {
    const fn is_blocked(&self) -> bool {
        self.is_unacknowledged || self.holds > 0
    }
}

impl Drop for RollbackHold {
    fn drop(&mut self) {
        self.0.lock().holds -= 1;
    }
}
