use canary_analysis::{Measure, Monitor, Unit};
use canary_core::{EventName, RouteClass};
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
        let event = missing_event(monitor, canary).map(|message| ("measure.event", message));
        let class = missing_class(monitor, canary).map(|message| ("class", message));
        let unit = wrong_unit(monitor, canary).map(|message| ("count_by", message));
        for (field, message) in [event, class, unit].into_iter().flatten() {
            requirements.push(Requirement::new(format!("monitors[{index}].{field}"), message));
        }
    }
    Unmet::check(requirements)
}

fn missing_class(monitor: &Monitor, canary: &CanaryHandle) -> Option<String> {
    let known = canary.route_classes().iter().map(RouteClass::as_str);
    missing("class", monitor.class()?, known.collect(), "CanaryOptions::route_classes")
}

/// Ratings are counted by every layer, and events only if its options name them.
fn missing_event(monitor: &Monitor, canary: &CanaryHandle) -> Option<String> {
    let Measure::Event(event) = monitor.measure() else { return None };
    let ratings = canary.counts().ratings;
    let known = ratings.events().keys().map(EventName::as_str);
    missing("event", event, known.collect(), "FeedbackOptions::event")
}

/// Returns a message if `name` is not `known`.
fn missing(kind: &str, name: &str, known: Vec<&str>, option: &str) -> Option<String> {
    if known.contains(&name) {
        return None;
    }
    let known: Vec<_> = known.into_iter().map(|known| format!("{known:?}")).collect();
    Some(match known.join(", ") {
        none if none.is_empty() => {
            format!("no {kind} {name:?} is counted: add it with `{option}`")
        }
        some => format!("no {kind} {name:?} is counted, only {some}"),
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
