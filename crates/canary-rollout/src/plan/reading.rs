//! Reads a draft from a tree of values, and lists all faults at once.
//!
//! serde stops at the first fault. Each fault is therefore repaired in the tree, and the draft is read
//! again. A repaired draft is only checked for further faults, and never becomes a plan.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use serde_path_to_error::Segment;

use super::{
    PlanError, PlanFault,
    check::Fault,
    definition::Plan,
    draft::Draft,
    source::{Kind, Node, PathPart},
    wording::nearest_name,
};

/// Returns the plan of a tree, or its faults in the order of the text.
pub(super) fn plan(node: Node) -> Result<Plan, Vec<PlanFault>> {
    let mut reading =
        Reading { node, faults: Vec::new(), repaired: Vec::new(), replaced: BTreeSet::new() };
    let draft = reading.draft();
    let checked = draft.map(Plan::try_from);
    match checked {
        Some(Ok(plan)) if reading.faults.is_empty() => return Ok(plan),
        Some(Err(faults)) => {
            let (node, repaired) = (&reading.node, &reading.repaired);
            let found = faults.iter().filter(|fault| !follows_a_repair(fault, repaired));
            reading.faults.extend(found.map(|(field, message)| fault(node, field, message)));
        }
        Some(Ok(_)) | None => {}
    }
    let mut faults = reading.faults;
    faults.sort_by_key(|fault| (fault.line, fault.column));
    faults.truncate(PlanError::MAX_FAULTS);
    Err(faults)
}

struct Reading {
    node: Node,
    faults: Vec<PlanFault>,
    /// The paths of values that were removed or replaced.
    repaired: Vec<String>,
    replaced: BTreeSet<String>,
}

/// An error of serde.
struct Invalid {
    path: Vec<PathPart>,
    message: String,
}

impl Reading {
    /// Returns the draft with all repairs, or `None` if a fault cannot be repaired.
    fn draft(&mut self) -> Option<Draft> {
        for _ in 0..MAX_READS {
            match read(&self.node) {
                Ok(draft) => return Some(draft),
                Err(invalid) => {
                    if !self.is_known(&invalid) {
                        let field = PathPart::join(&invalid.path);
                        self.faults.push(fault(&self.node, &field, &invalid.message));
                    }
                    if self.faults.len() >= PlanError::MAX_FAULTS || !self.repair(&invalid) {
                        return None;
                    }
                }
            }
        }
        None
    }

    /// Returns whether the fault is in a value that was repaired, or misses one that was removed.
    fn is_known(&self, invalid: &Invalid) -> bool {
        let missing = invalid.missing_field();
        let field = PathPart::join(&invalid.path);
        let field = missing.map_or(field.clone(), |missing| format!("{field}.{missing}"));
        self.repaired.iter().any(|repaired| *repaired == field.trim_start_matches('.'))
    }

    fn repair(&mut self, invalid: &Invalid) -> bool {
        let mut path = invalid.path.clone();
        if let Some(missing) = invalid.missing_field() {
            path.push(PathPart::Field(missing.to_owned()));
            return replacement(missing).is_some_and(|value| self.replace(&path, &value))
                || self.remove(invalid.path.clone());
        }
        let near = nearest_name(&invalid.message);
        if invalid.message.starts_with("unknown field") {
            return near.is_some_and(|near| self.node.rename(&path, near))
                || self.node.remove(&path);
        }
        let value = near.map(Into::into).or_else(|| item(&path));
        value.is_some_and(|value| self.replace(&path, &value)) || self.remove(path)
    }

    /// Replaces the value at a path, unless that was done before.
    fn replace(&mut self, path: &[PathPart], value: &Value) -> bool {
        let field = PathPart::join(path);
        if self.replaced.contains(&field) || !self.node.set(path, value) {
            return false;
        }
        self.replaced.insert(field.clone());
        self.repaired.push(field);
        true
    }

    /// Removes the field at a path, or else the nearest one around it.
    fn remove(&mut self, mut path: Vec<PathPart>) -> bool {
        while !path.is_empty() {
            if self.node.remove(&path) {
                self.repaired.push(PathPart::join(&path));
                return true;
            }
            path.pop();
        }
        false
    }
}

impl Invalid {
    fn missing_field(&self) -> Option<&str> {
        self.message.strip_prefix("missing field `")?.strip_suffix('`')
    }
}

fn read(node: &Node) -> Result<Draft, Invalid> {
    // serde would take the items for the fields of the plan.
    if let Kind::List(_) = node.kind {
        let message = "invalid type: sequence, expected a map".to_owned();
        return Err(Invalid { path: Vec::new(), message });
    }
    serde_path_to_error::deserialize(node.to_value()).map_err(|error| {
        let step = |segment: &Segment| match segment {
            Segment::Seq { index } => Some(PathPart::Item(*index)),
            Segment::Map { key } => Some(PathPart::Field(key.clone())),
            Segment::Enum { variant } => Some(PathPart::Field(variant.clone())),
            Segment::Unknown => None,
        };
        let path = error.path().iter().filter_map(step).collect();
        Invalid { path, message: error.into_inner().to_string() }
    })
}

fn fault(node: &Node, field: &str, message: &str) -> PlanFault {
    let at = node.position(field);
    PlanFault::new((at.line, at.column), field, message)
}

/// Returns whether a fault of the check may be the consequence of a repair: if it concerns a repaired
/// value, a part of it, or a value around it.
fn follows_a_repair((field, message): &Fault, repaired: &[String]) -> bool {
    let is_in = |inner: &str, outer: &str| {
        let rest = inner.strip_prefix(outer);
        rest.is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with(['.', '[']))
    };
    let may_miss = |repaired: &str| {
        let is_entry = repaired.split('.').count() <= 2;
        ["gate", "probe"].iter().any(|kind| {
            let is_missing = message.starts_with(&format!("the plan has no {kind}"));
            is_missing && is_entry && is_in(repaired, &format!("{kind}s"))
        })
    };
    repaired.iter().any(|it| is_in(field, it) || is_in(it, field) || may_miss(it))
}

/// Returns a value for a required field, for which the check finds no fault elsewhere.
fn replacement(field: &str) -> Option<Value> {
    Some(match field {
        "weight" => json!("0.0001%"),
        "by" | "from" => json!("1%"),
        "duration" | "every" | "over" | "limit" => json!("1s"),
        "kind" => json!({ "function": "f" }),
        "webhook" => json!({ "url": "http://localhost" }),
        "url" => json!("http://localhost"),
        "measure" => json!("failures"),
        "path" => json!("/"),
        "quantile" => json!(0.99),
        "ratio" | "rate" => json!(1.0),
        "worse" | "good" => json!({ "ratio": 1.0, "rate": 1.0 }),
        _ => return None,
    })
}

/// Returns a value for an item of a list. The items after it keep their indices.
fn item(path: &[PathPart]) -> Option<Value> {
    let [.., PathPart::Field(list), PathPart::Item(_)] = path else { return None };
    Some(match &**list {
        "steps" => json!({ "weight": "0.0001%" }),
        "monitors" => json!({ "measure": "failures" }),
        "status" => json!(200),
        "unwatched" => json!("unanswered"),
        _ => json!("x"),
    })
}

/// A fault needs up to three reads until it is repaired.
const MAX_READS: usize = 3 * PlanError::MAX_FAULTS;
