use std::{collections::BTreeSet, fmt};

use crate::{
    monitor::{Measure, Monitor, Unit},
    observation::Observation,
};

/// Something that was observed and that no monitor asks for: a misspelt name, perhaps.
///
/// The monitor that was meant has no data then, and stays inconclusive.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum UnusedObservation {
    /// Calls of a class of routes.
    Class(String),
    /// Events of the application's own.
    Event(String),
    /// User feedback.
    Feedback,
    /// Keys that met an adverse event, for a monitor of this name that counts per key.
    AdverseKeys(String),
    /// Keys that were seen, for a monitor of this name that counts per key.
    SeenKeys(String),
}

impl UnusedObservation {
    /// What `observation` holds that none of `monitors` asks for.
    pub(crate) fn of<'a>(
        observation: &'a Observation,
        monitors: impl Iterator<Item = &'a Monitor> + Clone + 'a,
    ) -> impl Iterator<Item = Self> + 'a {
        let no = move |asks: &dyn Fn(&Monitor) -> bool| !monitors.clone().any(asks);
        let Observation { classes, events, feedback, keys, seen, calls: _ } = observation;
        let per_key =
            |name: &str, monitor: &Monitor| monitor.name() == name && monitor.unit() == Unit::Keys;
        let classes = classes.keys().filter({
            let no = no.clone();
            move |class| no(&|monitor| monitor.class() == Some(class.as_str()))
        });
        let events = events.keys().filter({
            let no = no.clone();
            move |name| no(&|monitor| *monitor.measure() == Measure::Event((*name).clone()))
        });
        let feedback = (!feedback.is_empty()
            && no(&|monitor| *monitor.measure() == Measure::Feedback))
        .then_some(Self::Feedback);
        let keys = keys.keys().filter({
            let no = no.clone();
            move |name| {
                no(&|monitor| per_key(name, monitor) && *monitor.measure() != Measure::Share)
            }
        });
        let seen = seen.keys().filter(move |name| no(&|monitor| per_key(name, monitor)));
        classes
            .cloned()
            .map(Self::Class)
            .chain(events.cloned().map(Self::Event))
            .chain(feedback)
            .chain(keys.cloned().map(Self::AdverseKeys))
            .chain(seen.cloned().map(Self::SeenKeys))
    }

    /// Adds what is new, as long as there are few of them.
    pub(crate) fn note(unused: &mut BTreeSet<Self>, more: impl Iterator<Item = Self>) {
        for one in more {
            if unused.len() < MOST {
                unused.insert(one);
            }
        }
    }
}

/// Names come from the application's code, which has few. If they came from its callers, they must
/// not fill the memory.
const MOST: usize = 32;

impl fmt::Display for UnusedObservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Class(name) => write!(f, "calls of class `{name}`"),
            Self::Event(name) => write!(f, "events `{name}`"),
            Self::Feedback => f.write_str("feedback"),
            Self::AdverseKeys(name) => write!(f, "keys for `{name}`"),
            Self::SeenKeys(name) => write!(f, "seen keys for `{name}`"),
        }
    }
}
