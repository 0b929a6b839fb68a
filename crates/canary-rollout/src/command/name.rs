use std::{error, fmt, str};

use serde::{Deserialize, Serialize};

/// A [`Command`](crate::Command) without its data.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the command of the same name")]
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
    SetVariables,
}

impl CommandName {
    /// All commands, in the order of the documentation.
    pub const ALL: [Self; 14] = [
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
        Self::SetVariables,
    ];

    /// Returns the name as operators type it, such as "roll-back".
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
            Self::SetVariables => "set-variables",
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

/// The error for an unknown command name. The message lists the known names.
#[derive(Clone, Eq, PartialEq)]
pub struct UnknownCommand(String);

impl fmt::Display for UnknownCommand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = CommandName::ALL.map(CommandName::as_str).join(", ");
        write!(f, "unknown command {:?}: expected one of {names}", self.0)
    }
}

impl error::Error for UnknownCommand {}

canary_core::debug_as_display!(UnknownCommand);
