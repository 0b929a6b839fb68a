use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{actor::Actor, serialize, span::Span};

/// The basis of a promotion.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PromotionBasis {
    /// The judge's verdict: healthy.
    Proof {
        /// The evidence in one sentence.
        evidence: String,
    },
    /// An operator's command.
    Manual {
        /// The operator.
        by: Actor,
        /// The operator's reason; it may be empty.
        reason: String,
    },
    /// The plan advances at the deadline without proof.
    Deadline,
    /// The plan goes on without proof after this time.
    WithoutProof {
        /// The `without_proof_after` of the step.
        #[serde(with = "serialize::span")]
        after: Duration,
    },
}

impl fmt::Display for PromotionBasis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Proof { evidence } if evidence.is_empty() => f.write_str("proven healthy"),
            Self::Proof { evidence } => f.write_str(evidence),
            Self::Manual { by, reason } if reason.is_empty() => write!(f, "by {by}"),
            Self::Manual { reason, .. } => f.write_str(reason),
            Self::Deadline => {
                f.write_str("the deadline passed, and the plan advances without proof")
            }
            Self::WithoutProof { after } if after.is_zero() => {
                f.write_str("not degraded, and the plan goes on without proof")
            }
            Self::WithoutProof { after } => {
                write!(f, "not degraded after {}, and the plan goes on without proof", Span(*after))
            }
        }
    }
}

/// The reason for a pause.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum PauseReason {
    /// An operator paused it, or set a weight.
    Manual {
        /// The operator.
        by: Actor,
        /// The operator's reason; it may be empty.
        reason: String,
    },
    /// The canary is degraded, and the plan freezes its weight.
    Degraded(RollbackReason),
    /// A deadline passed.
    Deadline(Deadline),
    /// A gate was rejected, or did not answer before its deadline.
    Gate {
        /// The gate's name in the plan.
        gate: String,
        /// The gate's reason.
        message: String,
    },
    /// All steps are done, and the plan's maximum weight leaves the promotion to an operator.
    Maximum,
    /// The store has lost a newer state of the rollout.
    StoreLost(StoreLoss),
}

impl fmt::Display for PauseReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Manual { by, reason } if reason.is_empty() => write!(f, "by {by}"),
            Self::Manual { by, reason } => write!(f, "by {by}: {reason}"),
            Self::Degraded(cause) => write!(f, "frozen: {cause}"),
            Self::Deadline(deadline) => write!(f, "{deadline}"),
            Self::Gate { gate, message } => write!(f, "gate {gate:?}: {message}"),
            Self::Maximum => {
                f.write_str("all steps are done, and the plan leaves the promotion to an operator")
            }
            Self::StoreLost(loss) => write!(f, "{loss}"),
        }
    }
}

/// A deadline that has passed, with the missing condition.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Deadline {
    /// The deadline of a step or of the bake; the canary is not proven healthy.
    Proof,
    /// The deadline of a step or of the bake; the canary had too few calls.
    Calls,
    /// The deadline of a step or of the bake; a probe has not passed.
    Probes,
    /// The deadline of the whole rollout.
    Rollout,
}

impl fmt::Display for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Proof => "the deadline passed without proof that the canary is healthy",
            Self::Calls => "the deadline passed with too few canary calls",
            Self::Probes => "the deadline passed before all probes passed",
            Self::Rollout => "the deadline of the whole rollout passed",
        })
    }
}

/// The reason for a rollback, a ramp down or a freeze.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum RollbackReason {
    /// The judge found the canary degraded.
    Degraded {
        /// The evidence in one sentence.
        evidence: String,
    },
    /// A probe failed too often.
    Probe {
        /// The probe's name in the plan.
        probe: String,
        /// The latest failure.
        message: String,
    },
    /// An operator's command.
    Manual {
        /// The operator.
        by: Actor,
        /// The operator's reason; it may be empty.
        reason: String,
    },
    /// A deadline passed, and the plan's `on_inconclusive` is `roll_back`.
    Deadline(Deadline),
    /// A gate was rejected, or did not answer before its deadline, and its `on_rejected` is
    /// `roll_back`.
    Gate {
        /// The gate's name in the plan.
        gate: String,
        /// The gate's reason.
        message: String,
    },
    /// The rollout was halted, and the halt has been lifted.
    Halt {
        /// The reason for the halt; it may be empty.
        reason: String,
    },
    /// The store has lost a newer state of the rollout.
    StoreLost(StoreLoss),
}

/// What the store has lost, as a replica sees it that has a newer rollout in force.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum StoreLoss {
    /// The document was removed.
    Removed,
    /// The document is of another [lineage](crate::Lineage): the store was wiped, and a process that
    /// started then created a new document.
    Replaced,
    /// The document is older, for example from a restored backup.
    Older,
}

impl fmt::Display for StoreLoss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Removed => "the store lost the rollout",
            Self::Replaced => "the store lost the rollout, and another process created a new one",
            Self::Older => "the store went back to an older state",
        })
    }
}

impl RollbackReason {
    /// Returns the actor that caused the rollback.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Degraded { .. } => Actor::Judge,
            Self::Probe { probe, .. } => Actor::Probe(probe.clone()),
            Self::Manual { by, .. } => by.clone(),
            Self::Deadline(_) | Self::Halt { .. } => Actor::Plan,
            Self::Gate { gate, .. } => Actor::Gate(gate.clone()),
            Self::StoreLost(_) => Actor::Store,
        }
    }
}

impl fmt::Display for RollbackReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Degraded { evidence } if evidence.is_empty() => f.write_str("degraded"),
            Self::Degraded { evidence } => f.write_str(evidence),
            Self::Probe { probe, message } => write!(f, "probe {probe:?} failed: {message}"),
            Self::Manual { by, reason } if reason.is_empty() => write!(f, "by {by}"),
            Self::Manual { by, reason } => write!(f, "by {by}: {reason}"),
            Self::Deadline(deadline) => write!(f, "{deadline}"),
            Self::Gate { gate, message } => write!(f, "gate {gate:?}: {message}"),
            Self::Halt { reason } => write!(f, "halted: {reason}"),
            Self::StoreLost(loss) => write!(f, "{loss}"),
        }
    }
}
