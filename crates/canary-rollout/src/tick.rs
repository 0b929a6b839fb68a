//! The observations that a [`Tick`](crate::Tick) can carry.

use crate::text::{REASON_BYTES, bounded};

pub(crate) mod input;

/// The answer of a gate.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum GateAnswer {
    /// The rollout may continue.
    Open,
    /// The gate is not ready to answer, for this reason, and is asked again. An unreachable webhook
    /// gives this answer.
    NotYet(String),
    /// The gate rejects, for this reason. The gate's `on_rejected` applies.
    Rejected(String),
}

/// The outcome of a probe's run.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum ProbeOutcome {
    /// The probe passed.
    Passed,
    /// The probe failed, for this reason.
    Failed(String),
}

impl ProbeOutcome {
    pub(crate) fn failure(&self) -> Option<String> {
        match self {
            Self::Passed => None,
            Self::Failed(reason) => Some(bounded(reason, REASON_BYTES / 2)),
        }
    }
}
