use canary_api::{Command as ApiCommand, CommandName as ApiName, VariableMap};
use canary_controller::{
    Command, CommandName,
    rollout::variables::{VariablePatch, VariablePatches},
};
use canary_core::Weight;

use crate::problem::{ApiError, Kind};

/// Returns the command that a request means.
pub(crate) fn to_command(command: ApiCommand) -> Result<Command, ApiError> {
    Ok(match command {
        ApiCommand::Start => Command::Start,
        ApiCommand::Pause => Command::Pause,
        ApiCommand::Resume => Command::Resume,
        ApiCommand::SkipStep => Command::SkipStep,
        ApiCommand::SetWeight { weight } => Command::SetWeight { weight: to_weight(&weight)? },
        ApiCommand::Promote => Command::Promote,
        ApiCommand::PromoteFully => Command::PromoteFully,
        ApiCommand::RollBack => Command::RollBack,
        ApiCommand::Halt => Command::Halt,
        ApiCommand::LiftHalt => Command::LiftHalt,
        ApiCommand::Restart => Command::Restart,
        ApiCommand::Approve { gate } => Command::Approve { gate },
        ApiCommand::Reject { gate } => Command::Reject { gate },
        ApiCommand::SetVariables { stage, overrides } => {
            Command::SetVariables(to_patches(stage, overrides))
        }
        _ => return Err(ApiError::new(Kind::Invalid, "the server does not know the command")),
    })
}

fn to_weight(text: &str) -> Result<Weight, ApiError> {
    text.parse().map_err(|error: canary_core::ParseWeightError| {
        let expected = "0% to below 100%, such as 0.1%";
        ApiError::new(Kind::Invalid, error.to_string()).field("weight", text, expected)
    })
}

/// Returns the changes of variables. `null` removes a variable.
pub(crate) fn to_patches(stage: VariableMap, overrides: VariableMap) -> VariablePatches {
    let patch = |map: VariableMap| {
        map.into_iter().fold(VariablePatch::new(), |patch, (name, value)| patch.set(name, value))
    };
    let mut patches = VariablePatches::default();
    patches.stage = patch(stage);
    patches.overrides = patch(overrides);
    patches
}

/// Returns the name as the API has it.
pub(crate) const fn command_name(name: CommandName) -> ApiName {
    match name {
        CommandName::Start => ApiName::Start,
        CommandName::Pause => ApiName::Pause,
        CommandName::Resume => ApiName::Resume,
        CommandName::SkipStep => ApiName::SkipStep,
        CommandName::SetWeight => ApiName::SetWeight,
        CommandName::Promote => ApiName::Promote,
        CommandName::PromoteFully => ApiName::PromoteFully,
        CommandName::RollBack => ApiName::RollBack,
        CommandName::Halt => ApiName::Halt,
        CommandName::LiftHalt => ApiName::LiftHalt,
        CommandName::Restart => ApiName::Restart,
        CommandName::Approve => ApiName::Approve,
        CommandName::Reject => ApiName::Reject,
        CommandName::SetVariables => ApiName::SetVariables,
        _ => ApiName::Unknown,
    }
}
