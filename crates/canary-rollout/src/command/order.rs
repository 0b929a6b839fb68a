use canary_core::Weight;
use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
    command::CommandName,
    serialize,
    text::{REASON_BYTES, bounded},
};

/// What a person, or a program, can tell a rollout to do.
///
/// Each means one thing, whatever the state; in which state it is allowed, and what comes of it, is
/// in the [table](crate::states). As JSON it is `{"command": "set_weight", "weight": "1%"}`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "command", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Command {
    /// Runs the plan from its first step, with new evidence.
    Start,
    /// Keeps the weight until [resumed](Self::Resume). The judge goes on, and still rolls back.
    Pause,
    /// Goes on where the pause began, at the plan's weight.
    Resume,
    /// Goes on to the next step, without what this one still waits for. The calendar holds.
    SkipStep,
    /// Asks this weight of the canary, and pauses the plan.
    SetWeight {
        /// The weight.
        #[serde(with = "serialize::weight")]
        weight: Weight,
    },
    /// Gives the canary all calls, by somebody's word instead of proof. If the plan has a bake, that
    /// comes first.
    Promote,
    /// Gives the canary all calls, without a bake or what is left of it.
    PromoteFully,
    /// Gives stable all calls. Possible in every state.
    RollBack,
    /// Gives stable all calls, and refuses every start until [released](Self::LiftHalt).
    Halt,
    /// Ends a halt. The rollout is rolled back then.
    LiftHalt,
    /// Begins the plan anew from its first step, with new evidence.
    Restart,
    /// Opens a gate that waits.
    Approve {
        /// The gate's name in the plan.
        gate: String,
    },
    /// Answers no to a gate that waits.
    Reject {
        /// The gate's name in the plan.
        gate: String,
    },
}

impl Command {
    /// Which command it is.
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
        }
    }
}

/// A [`Command`], and who gives it, and why.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Order {
    /// What is to be done.
    pub command: Command,
    /// Who says so.
    pub by: Actor,
    /// Why; it may be empty.
    pub reason: String,
}

impl Order {
    /// An order. Of a long reason the first 256 bytes are kept.
    pub fn new(command: Command, by: Actor, reason: impl AsRef<str>) -> Self {
        Self { command, by, reason: bounded(reason.as_ref(), REASON_BYTES) }
    }
}
