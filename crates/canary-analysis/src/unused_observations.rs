use std::{collections::BTreeSet, fmt};

use crate::{
    monitor::{Measure, Monitor, Unit},
    observation::Observation,
};

/// A part of an observation that no monitor uses, perhaps because of a misspelled name. The monitor
/// that was meant then has no data and stays inconclusive.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum UnusedObservation {
    /// Calls of a class of routes.
    Class(String),
    /// Application events.
    Event(String),
    /// User feedback.
    Feedback,
    /// Adverse keys for a monitor with this name that counts per key.
    AdverseKeys(String),
    /// Seen keys for a monitor with this name that counts per key.
    SeenKeys(String),
}

impl UnusedObservation {
    /// Adds to `unused` the parts of `observation` that none of `monitors` uses.
    pub(crate) fn collect(
        unused: &mut BTreeSet<Self>,
        observation: &Observation,
        monitors: &[&Monitor],
    ) {
        let Observation { classes, events, feedback, keys, seen, calls: _, duration: _, step: _ } =
            observation;
        let none = |uses: &dyn Fn(&Monitor) -> bool| !monitors.iter().any(|monitor| uses(monitor));
        let per_key =
            |monitor: &Monitor, name: &str| monitor.unit() == Unit::Keys && monitor.name() == name;
        let mut add = |part: Self| {
            if unused.len() < MAX_UNUSED {
                unused.insert(part);
            }
        };
        for class in classes.keys() {
            if none(&|monitor| monitor.class() == Some(class)) {
                add(Self::Class(class.clone()));
            }
        }
        for event in events.keys() {
            if none(&|monitor| matches!(monitor.measure(), Measure::Event(name) if name == event)) {
                add(Self::Event(event.clone()));
            }
        }
        if !feedback.is_empty() && none(&|monitor| *monitor.measure() == Measure::Feedback) {
            add(Self::Feedback);
        }
        for name in keys.keys() {
            if none(&|it| per_key(it, name) && *it.measure() != Measure::Share) {
                add(Self::AdverseKeys(name.clone()));
            }
        }
        for name in seen.keys() {
            if none(&|monitor| per_key(monitor, name)) {
                add(Self::SeenKeys(name.clone()));
            }
        }
    }
}

/// Bounds the memory, in case the names depend on requests.
const MAX_UNUSED: usize = 32;

impl fmt::Display for UnusedObservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(name) => write!(f, "calls of class `{name}`"),
            Self::Event(name) => write!(f, "events `{name}`"),
            Self::Feedback => f.write_str("feedback"),
            Self::AdverseKeys(name) => write!(f, "adverse keys for `{name}`"),
            Self::SeenKeys(name) => write!(f, "seen keys for `{name}`"),
        }
    }
}
