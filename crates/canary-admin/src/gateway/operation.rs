use std::collections::BTreeMap;

use canary_core::Weight;
use serde::Deserialize;
use serde_json::Value;

use super::{
    fault::{Fault, quoted},
    target::Target,
};

/// The body of a `PATCH`, as the gateway's clients send it.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub(crate) struct PatchRequest {
    /// At most 64. If one of them is refused, none is carried out. A weight and variables are two
    /// commands: if only the first could be stored, the message says so.
    #[serde(default)]
    #[schema(max_items = 64)]
    patch_operations: Vec<PatchOperation>,
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct PatchOperation {
    op: Verb,
    /// A JSON Pointer, such as `/canarySettings/percentTraffic`.
    path: String,
    /// The new value, or for a test the expected one.
    value: Option<String>,
    /// A JSON Pointer, for a copy.
    from: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Verb {
    Add,
    Remove,
    Replace,
    Move,
    Copy,
    Test,
}

/// An operation that is valid by itself.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Operation {
    Test {
        target: Target,
        value: String,
    },
    SetWeight(Weight),
    SetUseStageCache(bool),
    SetDeployment(String),
    SetCanaryDeployment(String),
    RemoveCanary,
    PromoteDeployment,
    PromoteVariables,
    SetVariable {
        scope: Scope,
        name: String,
        text: String,
    },
    RemoveVariable {
        scope: Scope,
        name: String,
    },
    /// Sets all overrides. An empty map removes them.
    ReplaceOverrides(BTreeMap<String, String>),
}

/// The owner of variables.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Scope {
    Stage,
    Canary,
}

/// Reads the operations of a request. They do not depend on each other: no place is changed twice.
pub(super) fn parse(request: PatchRequest) -> Result<Vec<Operation>, Fault> {
    let operations = request.patch_operations;
    if operations.len() > MAX_OPERATIONS {
        return Err(Fault::bad_request(format_args!(
            "patchOperations has {} operations: expected at most {MAX_OPERATIONS}",
            operations.len()
        )));
    }
    let mut changed: Vec<Target> = Vec::new();
    let parsed = operations.into_iter().enumerate().map(|(index, operation)| {
        parse_one(operation, &mut changed)
            .map_err(|fault| fault.at(format_args!("patchOperations[{index}]")))
    });
    parsed.collect()
}

fn parse_one(operation: PatchOperation, changed: &mut Vec<Target>) -> Result<Operation, Fault> {
    let target = Target::parse(&operation.path)?;
    let is_test = operation.op == Verb::Test;
    if is_test && !changed.is_empty() {
        return Err(Fault::bad_request("a test follows a change: expected all tests first"));
    }
    if !is_test {
        if let Some(earlier) = changed.iter().find(|it| it.overlaps(&target)) {
            return Err(Fault::bad_request(format_args!(
                "path {target} is changed again after {earlier}: expected one change"
            )));
        }
        changed.push(target.clone());
    }
    let PatchOperation { op, value: given, from, .. } = operation;
    Ok(match (op, target) {
        (
            Verb::Test,
            target @ (Target::PercentTraffic | Target::CanaryDeployment | Target::Deployment),
        ) => Operation::Test { target, value: required(given)? },
        (Verb::Replace, Target::PercentTraffic) => {
            Operation::SetWeight(percent(&required(given)?)?)
        }
        (Verb::Replace, Target::UseStageCache) => {
            Operation::SetUseStageCache(boolean(&required(given)?)?)
        }
        (Verb::Replace, Target::CanaryDeployment) => {
            Operation::SetCanaryDeployment(required(given)?)
        }
        (Verb::Replace, Target::Deployment) => Operation::SetDeployment(required(given)?),
        (Verb::Replace, Target::Overrides) => Operation::ReplaceOverrides(map(&required(given)?)?),
        (Verb::Remove, Target::Overrides) => Operation::ReplaceOverrides(BTreeMap::new()),
        (Verb::Remove, Target::CanarySettings) => Operation::RemoveCanary,
        (Verb::Copy, target @ (Target::Deployment | Target::Variables)) => copy(&target, from)?,
        (op, Target::Override(name)) => variable(op, Scope::Canary, name, given)?,
        (op, Target::Variable(name)) => variable(op, Scope::Stage, name, given)?,
        (op, target) => return Err(unsupported(op, &target)),
    })
}

fn variable(
    op: Verb,
    scope: Scope,
    name: String,
    value: Option<String>,
) -> Result<Operation, Fault> {
    match (op, scope) {
        (Verb::Add | Verb::Replace, _) => {
            Ok(Operation::SetVariable { scope, name, text: required(value)? })
        }
        (Verb::Remove, _) => Ok(Operation::RemoveVariable { scope, name }),
        (op, Scope::Stage) => Err(unsupported(op, &Target::Variable(name))),
        (op, Scope::Canary) => Err(unsupported(op, &Target::Override(name))),
    }
}

fn required(value: Option<String>) -> Result<String, Fault> {
    value.ok_or_else(|| Fault::bad_request("the field \"value\" is missing: expected a string"))
}

/// A copy is a part of the promotion.
fn copy(target: &Target, from: Option<String>) -> Result<Operation, Fault> {
    let (expected, operation) = match target {
        Target::Deployment => (Target::CanaryDeployment, Operation::PromoteDeployment),
        _ => (Target::Overrides, Operation::PromoteVariables),
    };
    match from {
        Some(from) if Target::parse(&from)? == expected => Ok(operation),
        Some(from) => Err(Fault::bad_request(format_args!(
            "from {} cannot be copied to {target}: expected {expected}",
            quoted(&from)
        ))),
        None => Err(Fault::bad_request(format_args!(
            "the field \"from\" is missing: expected {expected}"
        ))),
    }
}

/// Parses a percentage such as "10.5", in steps of 0.0001.
pub(super) fn percent(text: &str) -> Result<Weight, Fault> {
    format!("{text}%").parse().map_err(|_| {
        Fault::bad_request(format_args!(
            "value {} is not a percentage: expected \"0.0\" to \"100.0\" with at most four decimals, \
             such as \"10.5\"",
            quoted(text)
        ))
    })
}

fn boolean(text: &str) -> Result<bool, Fault> {
    text.parse().map_err(|_| {
        let text = quoted(text);
        Fault::bad_request(format_args!(
            "value {text} is not a boolean: expected \"true\" or \"false\""
        ))
    })
}

/// Parses variables from the text of a JSON object. Messages have no values, which can be secret.
fn map(text: &str) -> Result<BTreeMap<String, String>, Fault> {
    const EXPECTED: &str =
        r#"expected the text of a JSON object of strings, such as "{\"backend\":\"b2\"}""#;
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        Fault::bad_request(format_args!(
            "the value is not JSON (line {line}, column {column}): {EXPECTED}"
        ))
    })?;
    let Value::Object(fields) = value else {
        return Err(Fault::bad_request(format_args!("the value is not an object: {EXPECTED}")));
    };
    let text_of = |(name, value): (String, Value)| match value {
        Value::String(text) => Ok((name, text)),
        _ => {
            let name = quoted(&name);
            Err(Fault::bad_request(format_args!("the value of {name} is not a string: {EXPECTED}")))
        }
    };
    fields.into_iter().map(text_of).collect()
}

fn unsupported(op: Verb, target: &Target) -> Fault {
    let expected = match target {
        Target::CanarySettings => "remove",
        Target::PercentTraffic | Target::CanaryDeployment => "replace or test",
        Target::UseStageCache => "replace",
        Target::Overrides => "replace or remove",
        Target::Override(_) | Target::Variable(_) => "add, replace or remove",
        Target::Deployment => "copy, replace or test",
        Target::Variables => "copy",
    };
    let op = format!("{op:?}").to_lowercase();
    Fault::bad_request(format_args!(
        "operation {op:?} is not supported for {target}: expected {expected}"
    ))
}

/// The document has few places, so more operations than this are a mistake.
const MAX_OPERATIONS: usize = 64;

#[cfg(test)]
mod tests;
