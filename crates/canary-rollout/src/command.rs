use std::{fmt, str};

use canary_core::Weight;
use serde::{Deserialize, Serialize};

use crate::{
    actor::Actor,
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

/// A [`Command`] without its data, to be shown.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the command of the same name")]
pub enum CommandName {
    Start,
    Pause,
    Resume,
    SkipStep,
    SetWeight,
    Promote,
    PromoteFully,
    RollBack,
    Halt,
    LiftHalt,
    Restart,
    Approve,
    Reject,
}

impl CommandName {
    /// All of them.
    pub const ALL: [Self; 13] = [
        Self::Start,
        Self::Pause,
        Self::Resume,
        Self::SkipStep,
        Self::SetWeight,
        Self::Promote,
        Self::PromoteFully,
        Self::RollBack,
        Self::Halt,
        Self::LiftHalt,
        Self::Restart,
        Self::Approve,
        Self::Reject,
    ];

    /// The name as it is typed: "roll-back".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::SkipStep => "skip-step",
            Self::SetWeight => "set-weight",
            Self::Promote => "promote",
            Self::PromoteFully => "promote-fully",
            Self::RollBack => "roll-back",
            Self::Halt => "halt",
            Self::LiftHalt => "lift-halt",
            Self::Restart => "restart",
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl str::FromStr for CommandName {
    type Err = UnknownCommand;

    fn from_str(text: &str) -> Result<Self, UnknownCommand> {
        let found = Self::ALL.into_iter().find(|name| name.as_str() == text);
        found.ok_or_else(|| UnknownCommand(text.to_owned()))
    }
}

/// A text that names no command. The message lists those that there are.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownCommand(String);

impl fmt::Display for UnknownCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = CommandName::ALL.map(CommandName::as_str).join(", ");
        write!(f, "command {:?} is unknown: expected one of {names}", self.0)
    }
}

impl std::error::Error for UnknownCommand {}

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
