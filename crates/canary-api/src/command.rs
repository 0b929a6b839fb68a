use std::fmt;

use serde::{Deserialize, Serialize, de::Error as _};
use serde_json::{Map, Value};

use crate::{
    canary::{CanaryView, Phase},
    channel::ChannelName,
    event::EventView,
    variables::VariableMap,
};

/// A command for a rollout, with its data.
///
/// The JSON form is `{"command": "set_weight", "weight": "1%"}`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "command", rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum Command {
    /// Starts the plan at its first step, with new evidence.
    Start,
    /// Keeps the weight until the plan is resumed. A degraded canary is still rolled back.
    Pause,
    /// Continues the paused plan.
    Resume,
    /// Begins the next step without waiting for the current one.
    SkipStep,
    /// Sets this weight, and pauses the plan.
    SetWeight {
        /// The weight, such as `10%`.
        weight: String,
    },
    /// Promotes the canary without proof that it is healthy, after the bake if the plan has one.
    Promote,
    /// Promotes the canary at once.
    PromoteFully,
    /// Sends all calls to stable. Allowed in every state.
    RollBack,
    /// Sends all calls to stable, and refuses every start until the halt is lifted.
    Halt,
    /// Lifts a halt.
    LiftHalt,
    /// Starts the plan again at its first step, with new evidence.
    Restart,
    /// Opens a gate that waits for an answer.
    Approve {
        /// The name of the gate in the plan.
        gate: String,
    },
    /// Rejects a gate that waits for an answer.
    Reject {
        /// The name of the gate in the plan.
        gate: String,
    },
    /// Changes variables, each by a merge patch.
    SetVariables {
        /// The changes of the stage.
        #[serde(default, skip_serializing_if = "VariableMap::is_empty")]
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        stage: VariableMap,
        /// The changes of the canary's overrides.
        #[serde(default, skip_serializing_if = "VariableMap::is_empty")]
        #[cfg_attr(feature = "openapi", schema(value_type = Object))]
        overrides: VariableMap,
    },
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
            Self::SetVariables { .. } => CommandName::SetVariables,
        }
    }

    const fn has_no_data(&self) -> bool {
        !matches!(
            self,
            Self::SetWeight { .. }
                | Self::Approve { .. }
                | Self::Reject { .. }
                | Self::SetVariables { .. }
        )
    }
}

/// A [`Command`] without its data.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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
    #[serde(other)]
    Unknown,
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
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for CommandName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A command with its reason, as the body of a request.
///
/// The author is the caller, as the server knows it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(try_from = "Map<String, Value>")]
pub struct CommandRequest {
    /// The command.
    #[serde(flatten)]
    pub command: Command,
    /// The reason, for the history. It is cut to 256 bytes.
    #[serde(default)]
    pub reason: String,
}

impl CommandRequest {
    /// Creates a request.
    pub fn new(command: Command, reason: impl Into<String>) -> Self {
        Self { command, reason: reason.into() }
    }
}

/// `flatten` alone would ignore unknown fields.
impl TryFrom<Map<String, Value>> for CommandRequest {
    type Error = serde_json::Error;

    fn try_from(mut fields: Map<String, Value>) -> Result<Self, serde_json::Error> {
        let reason = fields.remove("reason").map_or(Ok(String::new()), String::deserialize)?;
        let data = fields.keys().find(|name| *name != "command").cloned();
        let command = Command::deserialize(Value::Object(fields))?;
        match data {
            // serde refuses it only for commands with data.
            Some(field) if command.has_no_data() => Err(serde_json::Error::custom(format!(
                "unknown field `{field}`: {} has no data",
                command.name()
            ))),
            _ => Ok(Self { command, reason }),
        }
    }
}

/// The result of a command that was carried out and stored.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CommandResponse {
    /// The reason why the command changed nothing; `None` if it had an effect.
    pub note: Option<String>,
    /// The events that it recorded. An event without an id is in force, but not stored yet.
    pub events: Vec<EventView>,
    /// The canary afterwards.
    pub canary: CanaryView,
}

/// The effect that a command would have now. Nothing has changed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PreviewView {
    /// The effect in sentences.
    pub effect: String,
    /// The consequences alone, a sentence each.
    pub consequences: Vec<String>,
    /// The reason why the command would change nothing.
    pub note: Option<String>,
    /// The phase afterwards.
    pub phase: Phase,
    /// The weight before.
    pub from: String,
    /// The weight afterwards.
    pub to: String,
    /// Whether the evidence so far is discarded.
    pub discards_evidence: bool,
    /// The number of open calls that are asked to end.
    pub drained_calls: Option<u64>,
    /// Whether the command needs an `If-Match` header with the latest event.
    pub needs_latest: bool,
}

/// A request to end the open calls of a channel in the process that answers.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct DrainRequest {
    /// The channel.
    pub channel: ChannelName,
    /// Whether calls are closed, and not only asked to end.
    #[serde(default)]
    pub close: bool,
    /// The reason, for the audit log.
    #[serde(default)]
    pub reason: String,
}

/// The open calls at the time of a [`DrainRequest`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DrainResponse {
    /// The open calls that were asked to end, or closed.
    pub open: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_command_with_a_reason() {
        let text = r#"{"command":"set_weight","weight":"1%","reason":"try it"}"#;
        let request: CommandRequest = serde_json::from_str(text).unwrap();
        let weight = "1%".to_owned();
        assert_eq!(request, CommandRequest::new(Command::SetWeight { weight }, "try it"));
        assert_eq!(serde_json::to_string(&request).unwrap(), text);
        let request: CommandRequest = serde_json::from_str(r#"{"command":"pause"}"#).unwrap();
        assert_eq!(request, CommandRequest::new(Command::Pause, ""));
    }

    #[test]
    fn a_request_with_an_unknown_field_is_refused() {
        for (text, message) in [
            (r#"{"command":"pause","weight":"1%"}"#, "unknown field `weight`"),
            (r#"{"command":"set_weight","weight":"1%","by":"eve"}"#, "unknown field `by`"),
            (r#"{"command":"set_weight"}"#, "missing field `weight`"),
            (r#"{"command":"pauze"}"#, "unknown variant `pauze`"),
            (r#"{"reason":"no command"}"#, "missing field `command`"),
            (r#"{"command":"pause","reason":1}"#, "invalid type: integer `1`"),
        ] {
            let error = serde_json::from_str::<CommandRequest>(text).unwrap_err().to_string();
            assert!(error.contains(message), "{text}: {error}");
        }
    }
}
