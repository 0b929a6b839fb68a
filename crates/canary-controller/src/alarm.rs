use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tower_canary::CanaryHandle;

/// What stands between the data plane and whoever would raise its weight.
///
/// The judge's guard finds a sick canary on the thread of a call, and a person's rollback must not queue
/// behind a store that hangs. Both take the canary back through here, at once. The driver raises the
/// weight through here as well, and finds out if it comes too late.
#[derive(Debug, Default)]
pub(crate) struct Alarm {
    state: Mutex<State>,
    rung: Notify,
}

#[derive(Debug, Default)]
struct State {
    response: Response,
    /// Why the canary was found degraded, until the driver has heard of it.
    found: Option<String>,
    /// Whether the canary was taken back, and the driver has not heard of it yet.
    is_taken_back: bool,
}

/// What is done when the guard finds the canary degraded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Response {
    /// Nothing: no rollout is under way.
    #[default]
    None,
    /// The driver is told, and does what the plan says.
    Tell,
    /// The canary is rolled back, and the driver is told.
    RollBack,
}

impl Alarm {
    /// The guard has found the canary degraded.
    pub(crate) fn ring(&self, canary: &CanaryHandle, found: String) {
        let mut state = self.lock();
        match state.response {
            Response::None => return,
            Response::Tell => {}
            Response::RollBack => {
                canary.roll_back();
                state.is_taken_back = true;
            }
        }
        state.found = Some(found);
        drop(state);
        self.rung.notify_one();
    }

    /// Takes the canary back before the driver hears of it.
    pub(crate) fn take_back(&self, take_back: impl FnOnce()) {
        let mut state = self.lock();
        take_back();
        state.is_taken_back = true;
    }

    /// Waits for the guard.
    pub(crate) async fn rung(&self) {
        self.rung.notified().await;
    }

    /// Why the guard found the canary degraded, if the driver has not been told yet.
    pub(crate) fn hear(&self) -> Option<String> {
        self.lock().found.take()
    }

    /// Does what raises the canary's weight, unless it was taken back meanwhile.
    pub(crate) fn unless_taken_back(&self, raise: impl FnOnce()) {
        let state = self.lock();
        if !state.is_taken_back {
            raise();
        }
    }

    pub(crate) fn is_taken_back(&self) -> bool {
        self.lock().is_taken_back
    }

    /// The rollout knows that the canary was taken back.
    pub(crate) fn is_known(&self) {
        self.lock().is_taken_back = false;
    }

    pub(crate) fn respond_by(&self, response: Response) {
        self.lock().response = response;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
