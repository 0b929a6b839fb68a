use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::service::call::Call;

/// A call whose connection was upgraded.
///
/// It ends when the last [`Assignment`](crate::Assignment) that shares it is dropped.
#[derive(Default)]
pub(crate) struct UpgradedCall(Mutex<Option<Call>>);

impl UpgradedCall {
    pub(crate) fn park(&self, call: Call) {
        *self.call() = Some(call);
    }

    pub(crate) fn end(&self, end: impl FnOnce(&mut Call)) {
        if let Some(call) = &mut *self.call() {
            end(call);
        }
    }

    fn call(&self) -> MutexGuard<'_, Option<Call>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for UpgradedCall {
    fn drop(&mut self) {
        self.end(|call| call.end_of_body(None));
    }
}
