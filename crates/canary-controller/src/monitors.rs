use canary_analysis::{Measure, Unit};
use canary_rollout::Plan;
use tower_canary::{CanaryHandle, control::ControlExt};

use crate::{
    driver::key_event_kind,
    requirements::{Requirement, Unmet},
};

/// Checks that the data plane counts the events of the plan's monitors. A monitor without counts
/// would stay inconclusive and hold the plan forever.
pub(crate) fn check_plan(plan: &Plan, canary: &CanaryHandle) -> Result<(), Unmet> {
    let mut requirements = Vec::new();
    for (index, monitor) in plan.judge_monitors().iter().enumerate() {
        let class = monitor
            .class()
            .filter(|class| !canary.route_classes().iter().any(|known| known.as_str() == *class));
        if let Some(class) = class {
            let known: Vec<_> = canary
                .route_classes()
                .iter()
                .map(|known| format!("{:?}", known.as_str()))
                .collect();
            let message = match known.join(", ") {
                none if none.is_empty() => format!(
                    "no class {class:?} is counted: add it with `CanaryOptions::route_classes`"
                ),
                some => format!("no class {class:?} is counted, only {some}"),
            };
            requirements.push(Requirement::new(format!("monitors[{index}].class"), message));
        }
        if monitor.unit() == Unit::Keys {
            let field = format!("monitors[{index}].count_by");
            let is_counted =
                key_event_kind(monitor).is_some() || *monitor.measure() == Measure::Share;
            if !is_counted {
                let message = format!(
                    "{:?} is not counted per key, only failures, cancelled calls and the share are",
                    monitor.name(),
                );
                requirements.push(Requirement::new(field, message));
            } else if !canary.has_policy() {
                let message = "calls have keys only under a sticky policy: set one with \
                               `CanaryOptions::select`";
                requirements.push(Requirement::new(field, message));
            }
        }
    }
    Unmet::check(requirements)
}
