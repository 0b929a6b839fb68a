//! Reads a command from its message.

use canary_controller::{
    Command,
    rollout::variables::{VariablePatch, VariablePatches},
};
use canary_core::Weight;
use serde_json::{Number, Value};

use super::proto::{
    CommandName, CommandRequest, VariableChanges, command_request::Data, value::Kind as ValueKind,
};
use crate::problem::{ApiError, Kind};

/// Returns the command of a request.
pub(super) fn command(request: &CommandRequest) -> Result<Command, ApiError> {
    let CommandRequest { command, data, .. } = request;
    let name = CommandName::try_from(*command).unwrap_or_default();
    let command = match (name, data) {
        (CommandName::SetWeight, Some(Data::WeightPpm(ppm))) => Command::SetWeight {
            weight: Weight::try_from_ppm(*ppm).map_err(|error| {
                let expected = "0 to below 1000000";
                invalid(&error.to_string()).field("weight_ppm", &ppm.to_string(), expected)
            })?,
        },
        (CommandName::Approve, Some(Data::Gate(gate))) => Command::Approve { gate: gate.clone() },
        (CommandName::Reject, Some(Data::Gate(gate))) => Command::Reject { gate: gate.clone() },
        (CommandName::SetVariables, Some(Data::Variables(variables))) => {
            let mut patches = VariablePatches::default();
            patches.stage = patch("stage", variables.stage.as_ref())?;
            patches.overrides = patch("overrides", variables.overrides.as_ref())?;
            Command::SetVariables(patches)
        }
        (name, data) => match (without_data(name), data) {
            (Some(command), None) => command,
            (Some(command), Some(data)) => {
                let detail = format!("{} has no data", command.name());
                return Err(invalid(&detail).field(field(data), "", "no such field"));
            }
            (None, _) => return Err(wrong_data(name)),
        },
    };
    Ok(command)
}

fn without_data(name: CommandName) -> Option<Command> {
    Some(match name {
        CommandName::Start => Command::Start,
        CommandName::Pause => Command::Pause,
        CommandName::Resume => Command::Resume,
        CommandName::SkipStep => Command::SkipStep,
        CommandName::Promote => Command::Promote,
        CommandName::PromoteFully => Command::PromoteFully,
        CommandName::RollBack => Command::RollBack,
        CommandName::Halt => Command::Halt,
        CommandName::LiftHalt => Command::LiftHalt,
        CommandName::Restart => Command::Restart,
        CommandName::SetWeight
        | CommandName::Approve
        | CommandName::Reject
        | CommandName::SetVariables
        | CommandName::Unspecified => return None,
    })
}

fn wrong_data(name: CommandName) -> ApiError {
    let (detail, field, expected) = match name {
        CommandName::SetWeight => ("the command has no weight", "weight_ppm", "a weight"),
        CommandName::Approve | CommandName::Reject => {
            ("the command has no gate", "gate", "the name of a gate")
        }
        CommandName::SetVariables => ("the command has no variables", "variables", "changes"),
        _ => ("there is no such command", "command", "a value of CommandName"),
    };
    invalid(detail).field(field, "", expected)
}

const fn field(data: &Data) -> &'static str {
    match data {
        Data::WeightPpm(_) => "weight_ppm",
        Data::Gate(_) => "gate",
        Data::Variables(_) => "variables",
    }
}

fn patch(side: &str, changes: Option<&VariableChanges>) -> Result<VariablePatch, ApiError> {
    let mut patch = VariablePatch::new();
    let Some(changes) = changes else { return Ok(patch) };
    for name in &changes.remove {
        patch = patch.remove(name);
    }
    for (name, value) in &changes.set {
        if changes.remove.contains(name) {
            let field = format!("variables.{side}.remove");
            let detail = "a variable is both set and removed";
            return Err(invalid(detail).field(&field, name, "one of both"));
        }
        let value = value.kind.as_ref().and_then(to_json).ok_or_else(|| {
            // The value is never shown, because it can be secret.
            let field = format!("variables.{side}.set[{name:?}]");
            invalid("the variable has no valid value").field(
                &field,
                "",
                "a text, a finite number, a boolean, or valid JSON other than null",
            )
        })?;
        patch = patch.set(name, value);
    }
    Ok(patch)
}

fn to_json(kind: &ValueKind) -> Option<Value> {
    match kind {
        ValueKind::Text(text) => Some(Value::String(text.clone())),
        ValueKind::Integer(integer) => Some(Value::from(*integer)),
        ValueKind::Number(number) => Number::from_f64(*number).map(Value::Number),
        ValueKind::Boolean(boolean) => Some(Value::Bool(*boolean)),
        ValueKind::Json(json) => {
            serde_json::from_str(json).ok().filter(|it| !matches!(it, Value::Null))
        }
    }
}

fn invalid(detail: &str) -> ApiError {
    ApiError::new(Kind::Invalid, detail)
}
