use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

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
    /// The attempt that is under way. A guard that speaks for another is not heard.
    attempt: u64,
    /// Why the canary was found degraded, until the driver has heard of it.
    found: Option<String>,
    /// Whether the guard took the canary back, and the rollout does not know yet.
    is_tripped: bool,
    /// How many others took it back, and the rollout does not know yet.
    taken_back: usize,
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

/// As long as this is there, nothing raises the weight: somebody has taken the canary back, and the
/// rollout does not know yet.
#[derive(Debug)]
pub(crate) struct TakenBack(Arc<Alarm>);

impl Alarm {
    /// The guard of an attempt has found the canary degraded.
    pub(crate) fn ring(&self, canary: &CanaryHandle, attempt: u64, found: String) {
        let mut state = self.lock();
        if attempt != state.attempt {
            return;
        }
        match state.response {
            Response::None => return,
            Response::Tell => {}
            Response::RollBack => {
                canary.roll_back();
                state.is_tripped = true;
            }
        }
        state.found = Some(found);
        drop(state);
        self.rung.notify_one();
    }

    /// Takes the canary back before the driver hears of it.
    pub(crate) fn take_back(self: &Arc<Self>, take_back: impl FnOnce()) -> TakenBack {
        let mut state = self.lock();
        take_back();
        state.taken_back += 1;
        TakenBack(Arc::clone(self))
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
        if !state.is_taken_back() {
            raise();
        }
    }

    pub(crate) fn is_taken_back(&self) -> bool {
        self.lock().is_taken_back()
    }

    /// Whether the guard has found something that the driver has not heard.
    pub(crate) fn is_rung(&self) -> bool {
        self.lock().found.is_some()
    }

    /// The rollout knows that the guard took the canary back.
    pub(crate) fn is_known(&self) {
        self.lock().is_tripped = false;
    }

    /// What is to be done from now on. What was found in another attempt says nothing of this one.
    pub(crate) fn respond_by(&self, response: Response, attempt: u64) {
        let mut state = self.lock();
        if state.attempt != attempt {
            (state.found, state.is_tripped) = (None, false);
        }
        (state.response, state.attempt) = (response, attempt);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    const fn is_taken_back(&self) -> bool {
        self.is_tripped || self.taken_back > 0
    }
}

impl Drop for TakenBack {
    fn drop(&mut self) {
        self.0.lock().taken_back -= 1;
    }
}
