//! The observations that a [`Tick`](crate::Tick) can carry.

use crate::text::{REASON_BYTES, bounded};

pub(crate) mod input;

/// What a gate says.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GateAnswer {
    /// Go on.
    Open,
    /// Ask again later, because of this. A webhook that could not be reached says this, too.
    NotYet(String),
    /// No, because of this: the gate's `on_rejected` says what is done.
    Rejected(String),
}

/// How a run of a probe ended.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ProbeOutcome {
    /// As expected.
    Passed,
    /// Otherwise, and how.
    Failed(String),
}

impl ProbeOutcome {
    pub(crate) fn failure(&self) -> Option<String> {
        match self {
            Self::Passed => None,
            Self::Failed(how) => Some(bounded(how, REASON_BYTES / 2)),
        }
    }
}
