use canary_core::Weight;
use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    command::CommandName,
    serialize,
    state::phase::Phase,
    text::{REASON_BYTES, bounded},
    variables::VariablePatches,
};

/// A command of an operator.
///
/// A [table](crate::states) lists the effect of each command in each state. The JSON form is
/// `{"command": "set_weight", "weight": "1%"}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// Starts the plan at its first step, with new evidence.
    Start,
    /// Keeps the weight until [`Resume`](Self::Resume). A degraded canary is still rolled back.
    Pause,
    /// Continues the paused stage at its weight.
    Resume,
    /// Begins the next step without waiting for the current one. The calendar still applies.
    SkipStep,
    /// Sets this weight, and pauses the plan.
    SetWeight {
        /// The weight.
        #[serde(with = "serialize::weight")]
        weight: Weight,
    },
    /// Promotes the canary without proof that it is healthy, after the bake if the plan has one.
    Promote,
    /// Promotes the canary at once, and skips the bake or the rest of it.
    PromoteFully,
    /// Sends all calls to stable. Allowed in every state.
    RollBack,
    /// Sends all calls to stable, and refuses every start until [`LiftHalt`](Self::LiftHalt).
    Halt,
    /// Lifts a halt. The rollout is rolled back afterwards.
    LiftHalt,
    /// Starts the plan again at its first step, with new evidence.
    Restart,
    /// Opens a gate that is waiting for an answer.
    Approve {
        /// The gate's name in the plan.
        gate: String,
    },
    /// Rejects a gate that is waiting for an answer.
    Reject {
        /// The gate's name in the plan.
        gate: String,
    },
    /// Changes variables of the stage, overrides of the canary, or both. Allowed in every state.
    ///
    /// The weight and the evidence stay. To judge the canary by its new variables alone, restart.
    /// The JSON form is `{"command": "set_variables", "overrides": {"backend": "b2"}}`.
    SetVariables(VariablePatches),
}

impl Command {
    /// Returns the command without its data.
    #[must_use]
    pub const fn name(&self) -> CommandName {
        match self {
            Self::Start => CommandName::Start,
            Self::Pause => CommandName::Pause,
            Self::Resume => CommandName::Resume,
            Self::SkipStep => CommandName::SkipStep,
            Self::SetWeight { .. } => CommandName::SetWeight,
            Self::Promote => CommandName::Promote,
            Self::PromoteFully => CommandName::PromoteFully,
            Self::RollBack => CommandName::RollBack,
            Self::Halt => CommandName::Halt,
            Self::LiftHalt => CommandName::LiftHalt,
            Self::Restart => CommandName::Restart,
            Self::Approve { .. } => CommandName::Approve,
            Self::Reject { .. } => CommandName::Reject,
            Self::SetVariables(_) => CommandName::SetVariables,
        }
    }

    /// Returns whether the command begins an attempt in this phase, if it is allowed.
    pub(crate) const fn begins_attempt(&self, phase: Phase) -> bool {
        match self {
            Self::Start | Self::Restart => true,
            Self::SetWeight { .. } => matches!(phase, Phase::Idle),
            _ => false,
        }
    }
}

/// A [`Command`] with its author and reason.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Order {
    /// The command.
    pub command: Command,
    /// The author.
    pub by: Actor,
    /// The reason; it may be empty.
    pub reason: String,
}

impl Order {
    /// Creates an order. A reason is cut to 256 bytes.
    pub fn new(command: Command, by: Actor, reason: impl AsRef<str>) -> Self {
        Self { command, by, reason: bounded(reason.as_ref(), REASON_BYTES) }
    }
}
