//! Reads plan files. Errors start with `file:line:column`, which editors turn into links.

use std::{fmt::Display, fs, path::Path};

use anyhow::{Context as _, anyhow};
use canary_controller::{Plan, Unmet, rollout::plan::PlanFault};

/// Reads a plan as JSON or YAML, depending on the file extension, and otherwise as TOML.
pub(crate) fn read(file: &Path) -> anyhow::Result<Plan> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let plan = match file.extension().and_then(|extension| extension.to_str()) {
        Some("json") => Plan::from_json(&text),
        Some("yaml" | "yml") => Plan::from_yaml(&text),
        _ => Plan::from_toml(&text),
    };
    plan.map_err(|error| {
        let faults = error.faults().iter().map(|fault| {
            let PlanFault { line, column, field, message, .. } = fault;
            let field = if field.is_empty() { String::new() } else { format!("{field}: ") };
            format!(":{line}:{column}: {field}{message}")
        });
        listed(file, "is not a valid plan", faults)
    })
}

/// Returns the error for a plan that needs something the shop does not provide.
pub(super) fn unmet(file: &Path, unmet: &Unmet) -> anyhow::Error {
    listed(
        file,
        "cannot be run by this shop",
        unmet.requirements().iter().map(|it| format!(": {it}")),
    )
}

fn listed(file: &Path, what: &str, faults: impl Iterator<Item = impl Display>) -> anyhow::Error {
    let file = file.display();
    let lines: String = faults.map(|fault| format!("\n  {file}{fault}")).collect();
    anyhow!("{file} {what}{lines}")
}
