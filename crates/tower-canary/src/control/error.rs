use std::{error, fmt, sync::Arc};

use canary_core::CanaryName;

/// The error for a canary that is halted: its weight stays zero until the halt is lifted.
#[derive(Clone, Eq, PartialEq)]
pub struct Halted {
    pub(super) name: CanaryName,
    pub(super) reason: String,
}

impl Halted {
    /// Returns the reason that was given for the halt.
    #[must_use]
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Halted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, reason } = self;
        write!(f, "canary {name} is halted ({reason}): lift the halt first")
    }
}

canary_core::debug_as_display!(Halted);

impl error::Error for Halted {}

/// The error of [`CanaryHandle::promote`](crate::CanaryHandle::promote).
#[derive(Clone, Eq, PartialEq)]
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

canary_core::debug_as_display!(PromoteError);

impl error::Error for PromoteError {}
