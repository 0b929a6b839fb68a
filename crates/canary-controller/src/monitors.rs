use canary_analysis::{Monitor, Unit};
use canary_rollout::Plan;
use tower_canary::{CanaryHandle, control::ControlExt};

use crate::{
    driver::default_unit,
    requirements::{Requirement, Unmet},
};

/// Checks that the data plane counts the events of the plan's monitors, in a unit whose assignment
/// is independent. A monitor without counts would stay inconclusive and hold the plan forever.
pub(crate) fn check_plan(plan: &Plan, canary: &CanaryHandle) -> Result<(), Unmet> {
    let mut requirements = Vec::new();
    // Further monitors follow those of the plan, with the same classes and units.
    let monitors = plan.judge_monitors_by(default_unit(canary));
    for (index, monitor) in monitors.iter().take(plan.monitors().len()).enumerate() {
        let missing = missing_class(monitor, canary).map(|message| ("class", message));
        let wrong = wrong_unit(monitor, canary).map(|message| ("count_by", message));
        for (field, message) in missing.into_iter().chain(wrong) {
            requirements.push(Requirement::new(format!("monitors[{index}].{field}"), message));
        }
    }
    Unmet::check(requirements)
}

fn missing_class(monitor: &Monitor, canary: &CanaryHandle) -> Option<String> {
    let known = canary.route_classes();
    let class = monitor.class()?;
    if known.iter().any(|known| known.as_str() == class) {
        return None;
    }
    let known: Vec<_> = known.iter().map(|known| format!("{:?}", known.as_str())).collect();
    Some(match known.join(", ") {
        none if none.is_empty() => {
            format!("no class {class:?} is counted: add it with `CanaryOptions::route_classes`")
        }
        some => format!("no class {class:?} is counted, only {some}"),
    })
}

fn wrong_unit(monitor: &Monitor, canary: &CanaryHandle) -> Option<String> {
    match (monitor.unit(), canary.may_be_sticky()) {
        (Unit::Keys, false) => Some(
            "calls have keys only under a sticky policy: set one with `CanaryOptions::select`"
                .to_owned(),
        ),
        (Unit::Calls, true) => Some(
            "the policy of the layer may keep a caller on one channel, so calls are not assigned \
             independently: omit this field, or count by \"keys\". A policy that is never sticky says \
             so with `Select::may_be_sticky`"
                .to_owned(),
        ),
        _ => None,
    }
}
