use std::collections::BTreeMap;

use canary_controller::{
    Command, Phase,
    rollout::variables::{VariablePatch, VariablePatches},
};
use canary_core::Weight;
use serde_json::Value;

use super::{
    fault::{Fault, quoted},
    operation::{Operation, Scope, percent},
    stage::Stage,
    target::Target,
};

/// The effect of all operations of a request.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    RollBack,
    Promote,
    Change { weight: Option<Weight>, patches: VariablePatches },
}

impl Effect {
    /// Combines the operations, which apply to `stage`.
    pub(super) fn of(operations: &[Operation], stage: &Stage) -> Result<Self, Fault> {
        let mut changes = Vec::new();
        for operation in operations {
            match operation {
                Operation::Test { target, value } => test(target, value, stage)?,
                Operation::SetUseStageCache(value) => check_cache(*value, stage)?,
                Operation::SetCanaryDeployment(id) => check_canary_release(id, stage)?,
                Operation::SetDeployment(id) if !undoes_promotion(id, stage) => {
                    check_stage_release(id, stage)?;
                }
                change => changes.push(change),
            }
        }
        match changes[..] {
            // On the gateway, a promoted release stays when its canary is removed.
            [Operation::RemoveCanary] if stage.phase == Phase::Promoted => Ok(Self::nothing()),
            [Operation::RemoveCanary | Operation::SetDeployment(_)] => Ok(Self::RollBack),
            _ if is_promotion(&changes) && !stage.has_canary() => Err(no_canary(stage)),
            _ if is_promotion(&changes) => Ok(Self::Promote),
            _ => Self::of_settings(&changes, stage),
        }
    }

    fn of_settings(changes: &[&Operation], stage: &Stage) -> Result<Self, Fault> {
        let mut weight = None;
        let (mut of_stage, mut overrides) = (Vec::new(), Vec::new());
        for change in changes {
            match change {
                Operation::SetWeight(to) => weight = changed_weight(*to, stage),
                Operation::SetVariable { scope, .. } | Operation::RemoveVariable { scope, .. } => {
                    match scope {
                        Scope::Stage => of_stage.push(*change),
                        Scope::Canary => overrides.push(*change),
                    }
                }
                Operation::ReplaceOverrides(_) => overrides.push(change),
                Operation::PromoteDeployment | Operation::PromoteVariables => {
                    return Err(Fault::bad_request(PROMOTION));
                }
                _ => return Err(Fault::bad_request(ALONE)),
            }
        }
        if !overrides.is_empty() && !stage.has_canary() {
            return Err(no_canary(stage));
        }
        let mut patches = VariablePatches::default();
        patches.stage = patch(&of_stage, &stage.variables, stage)?;
        patches.overrides = patch(&overrides, &stage.overrides, stage)?;
        Ok(Self::Change { weight, patches })
    }

    fn nothing() -> Self {
        Self::Change { weight: None, patches: VariablePatches::default() }
    }

    /// Returns the commands, in the order in which a failure between them does no harm: new variables
    /// never meet a higher weight than one of the two that the operator has chosen.
    pub(super) fn commands(self, stage: &Stage) -> Vec<Command> {
        match self {
            Self::RollBack => vec![Command::RollBack],
            Self::Promote => vec![Command::Promote],
            Self::Change { weight, patches } => {
                let lowers = weight.is_some_and(|weight| weight < stage.weight);
                let weight = weight.map(|weight| Command::SetWeight { weight });
                let variables = (!patches.is_empty()).then_some(Command::SetVariables(patches));
                let commands = if lowers { [weight, variables] } else { [variables, weight] };
                commands.into_iter().flatten().collect()
            }
        }
    }
}

fn is_promotion(changes: &[&Operation]) -> bool {
    let parts = [
        Operation::PromoteDeployment,
        Operation::PromoteVariables,
        Operation::SetWeight(Weight::ZERO),
    ];
    changes.len() == parts.len() && parts.iter().all(|part| changes.contains(&part))
}

fn undoes_promotion(deployment: &str, stage: &Stage) -> bool {
    stage.phase == Phase::Promoted && deployment == stage.releases.stable.as_str()
}

fn test(target: &Target, value: &str, stage: &Stage) -> Result<(), Fault> {
    let (is_equal, current) = match target {
        Target::PercentTraffic => {
            let weight = stage.canary_weight();
            (stage.has_canary() && percent(value)? == weight, weight.to_string())
        }
        Target::CanaryDeployment => {
            let release = stage.releases.canary.as_str();
            (stage.has_canary() && release == value, quoted(release))
        }
        _ => (stage.deployment() == value, quoted(stage.deployment())),
    };
    if is_equal {
        return Ok(());
    }
    let value = quoted(value);
    Err(Fault::conflict(format_args!(
        "{target} is not {value}: it is {current}, {}",
        stage.summary
    )))
}

fn check_cache(value: bool, stage: &Stage) -> Result<(), Fault> {
    let current = stage.uses_stage_cache;
    if value == current {
        return Ok(());
    }
    Err(Fault::bad_request(format_args!(
        "useStageCache cannot become {value}: expected {current}, which \
         CanaryOptions::cacheable_canary has set in the code"
    )))
}

fn check_canary_release(id: &str, stage: &Stage) -> Result<(), Fault> {
    let release = stage.releases.canary.as_str();
    if id == release {
        return Ok(());
    }
    Err(Fault::bad_request(format_args!(
        "the canary cannot become release {}: expected {}, which the process runs; deploy another",
        quoted(id),
        quoted(release)
    )))
}

fn check_stage_release(id: &str, stage: &Stage) -> Result<(), Fault> {
    let current = stage.deployment();
    if id == current {
        return Ok(());
    }
    if id == stage.releases.canary.as_str() {
        return Err(Fault::bad_request(PROMOTION));
    }
    Err(Fault::bad_request(format_args!(
        "the stage cannot become release {}: expected {}; deploy another release",
        quoted(id),
        quoted(current)
    )))
}

/// Returns the weight to set, or `None` if the plan is not in progress and the canary has it already.
///
/// In a plan in progress, the same weight has an effect: the plan is paused.
fn changed_weight(weight: Weight, stage: &Stage) -> Option<Weight> {
    let is_over =
        matches!(stage.phase, Phase::Idle | Phase::Promoted | Phase::RolledBack | Phase::Halted);
    (!is_over || weight != stage.canary_weight()).then_some(weight)
}

/// Returns the changes of variables, which have the values `current`.
fn patch(
    changes: &[&Operation],
    current: &BTreeMap<String, Value>,
    stage: &Stage,
) -> Result<VariablePatch, Fault> {
    let typed = |name: &str, text: &str| {
        value(name, text, current.get(name).or_else(|| stage.variables.get(name)))
    };
    let mut patch = VariablePatch::new();
    for change in changes {
        match change {
            Operation::SetVariable { name, text, .. } => {
                patch = patch.set(name, typed(name, text)?)
            }
            Operation::RemoveVariable { scope, name } => {
                if !current.contains_key(name) {
                    return Err(missing(*scope, name, current));
                }
                patch = patch.remove(name);
            }
            Operation::ReplaceOverrides(texts) => {
                for name in current.keys().filter(|name| !texts.contains_key(*name)) {
                    patch = patch.remove(name);
                }
                for (name, text) in texts {
                    let value = typed(name, text)?;
                    // Stored changes have little space.
                    if current.get(name) != Some(&value) {
                        patch = patch.set(name, value);
                    }
                }
            }
            _ => {}
        }
    }
    Ok(patch)
}

/// Returns the value of a text. A variable keeps its type: if it is not a text, the text is its JSON.
fn value(name: &str, text: &str, current: Option<&Value>) -> Result<Value, Fault> {
    let (expected, is_kind): (_, fn(&Value) -> bool) = match current {
        None | Some(Value::String(_) | Value::Null) => return Ok(Value::String(text.to_owned())),
        Some(Value::Bool(_)) => ("true or false", Value::is_boolean),
        Some(Value::Number(_)) => ("a number", Value::is_number),
        Some(Value::Array(_)) => ("a JSON array", Value::is_array),
        Some(Value::Object(_)) => ("a JSON object", Value::is_object),
    };
    let value = serde_json::from_str(text).ok().filter(is_kind);
    value.ok_or_else(|| {
        let name = quoted(name);
        Fault::bad_request(format_args!(
            "the new value of variable {name} has another type: expected {expected}"
        ))
    })
}

fn missing(scope: Scope, name: &str, current: &BTreeMap<String, Value>) -> Fault {
    let kind = match scope {
        Scope::Stage => "variable",
        Scope::Canary => "override",
    };
    let known: Vec<_> = current.keys().map(|name| quoted(name)).collect();
    let expected = if known.is_empty() { "none".to_owned() } else { known.join(" or ") };
    let name = quoted(name);
    Fault::bad_request(format_args!("there is no {kind} {name} to remove: expected {expected}"))
}

fn no_canary(stage: &Stage) -> Fault {
    Fault::conflict(format_args!(
        "the stage has no canary: {}; the command \"start\" begins another attempt",
        stage.summary
    ))
}

const ALONE: &str = "/canarySettings is removed, or a promotion is undone, together with other \
    changes: expected no other change";

const PROMOTION: &str = "a promotion needs exactly three changes: expected copy \
    /canarySettings/deploymentId to /deploymentId, copy /canarySettings/stageVariableOverrides to \
    /variables, and replace /canarySettings/percentTraffic with \"0.0\"";

#[cfg(test)]
mod tests;
