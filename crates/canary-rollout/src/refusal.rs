use std::{error, fmt};

use serde::Serialize;

use crate::{command::CommandName, state::Phase};

/// A command that the rollout's state does not allow. Nothing has changed.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Refusal {
    /// The command.
    pub command: CommandName,
    /// The state.
    pub phase: Phase,
    /// Why the two do not fit, and what would.
    pub why: String,
    /// The commands that are allowed and have an effect.
    pub allowed: Vec<CommandName>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, phase, why, allowed } = self;
        let allowed = allowed.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        write!(f, "cannot {command} what is {phase}: {why}; allowed are {allowed}")
    }
}

impl error::Error for Refusal {}
