use std::{fmt, sync::Arc};

use crate::control::{error::Halted, handle::CanaryHandle};

/// The claim of a controller on a canary: only the owner can promote it.
///
/// [`ControlExt::claim`](crate::control::ControlExt::claim) returns it. While it exists,
/// [`CanaryHandle::promote`] returns an error, because the controller would undo the promotion. All
/// other methods of the handle work as before; in particular, a rollback or halt still takes effect
/// immediately. Dropping the owner ends the claim.
///
/// A later claim replaces an earlier one.
pub struct Owner {
    canary: CanaryHandle,
    /// Held for its reference count: the control state keeps a weak reference.
    _advice: Arc<str>,
}

impl Owner {
    pub(crate) const fn new(canary: CanaryHandle, advice: Arc<str>) -> Self {
        Self { canary, _advice: advice }
    }

    /// Promotes the canary; see [`CanaryHandle::promote`].
    ///
    /// # Errors
    ///
    /// Returns an error if the canary is halted. Nothing changes in that case.
    pub fn promote(&self) -> Result<(), Halted> {
        self.canary.promote_as_owner()
    }
}

impl fmt::Debug for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Owner").field(&self.canary).finish()
    }
}
