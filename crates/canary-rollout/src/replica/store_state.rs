use std::time::Duration;

use crate::action::Transition;

/// The relation of the rollout in force to the stored one.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StoreState {
    /// The stored rollout has not been loaded. The rollout in force is a placeholder, or a copy.
    #[non_exhaustive]
    Loading {
        /// The reason.
        reason: String,
        /// Whether the rollout in force is a [copy](super::Input::Copy).
        is_copy: bool,
    },
    /// The rollout in force is the stored one, except for the time since the last save.
    InSync,
    /// A watch has reported a stored rollout that is not loaded yet.
    Behind,
    /// The latest save failed, or the document was removed.
    #[non_exhaustive]
    Dirty {
        /// The time at which saves began to fail.
        since: Duration,
    },
    /// The store did not report whether it saved a rollout that is not in force.
    #[non_exhaustive]
    InDoubt {
        /// The time at which saves began to fail.
        since: Duration,
        /// The transition that may be stored.
        transition: Box<Transition>,
    },
}

impl StoreState {
    /// Returns the time at which saves began to fail, if the latest one failed.
    #[must_use]
    pub const fn failing_since(&self) -> Option<Duration> {
        match self {
            Self::Dirty { since } | Self::InDoubt { since, .. } => Some(*since),
            Self::Loading { .. } | Self::InSync | Self::Behind => None,
        }
    }
}
