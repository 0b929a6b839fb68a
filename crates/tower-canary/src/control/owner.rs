use std::{error, fmt, sync::Arc};

use canary_core::CanaryName;

use crate::control::handle::{CanaryHandle, Halted};

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

/// The error of [`CanaryHandle::promote`].
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum PromoteError {
    /// The canary is halted.
    Halted(Halted),
    /// A controller [owns](crate::control::Owner) the canary.
    #[non_exhaustive]
    Owned {
        /// The canary's name.
        name: CanaryName,
        /// The controller's advice for the caller, such as "use `RolloutHandle::promote`".
        advice: Arc<str>,
    },
}

impl From<Halted> for PromoteError {
    fn from(halted: Halted) -> Self {
        Self::Halted(halted)
    }
}

impl fmt::Display for PromoteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Halted(halted) => halted.fmt(f),
            Self::Owned { name, advice } => {
                write!(f, "a controller owns canary {name}: {advice}")
            }
        }
    }
}

impl error::Error for PromoteError {}
