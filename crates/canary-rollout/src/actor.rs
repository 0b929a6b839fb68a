use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::{NAME_BYTES, bounded};

/// Who did something to a rollout.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Actor {
    /// The plan, by its steps, deadlines and calendar.
    Plan,
    /// The judge, by the evidence of the monitors.
    Judge,
    /// A probe, by its name in the plan.
    Probe(String),
    /// A gate, by its name in the plan.
    Gate(String),
    /// A person, by a name or by that of the token.
    Person(String),
    /// A program that gives commands, such as the controller.
    Program(String),
}

impl Actor {
    /// A person. Of a long name the first 64 bytes are kept.
    pub fn person(name: impl AsRef<str>) -> Self {
        Self::Person(bounded(name.as_ref(), NAME_BYTES))
    }

    /// A program. Of a long name the first 64 bytes are kept.
    pub fn program(name: impl AsRef<str>) -> Self {
        Self::Program(bounded(name.as_ref(), NAME_BYTES))
    }

    pub(crate) fn bounded(&self) -> Self {
        match self {
            Self::Plan | Self::Judge => self.clone(),
            Self::Probe(name) => Self::Probe(bounded(name, NAME_BYTES)),
            Self::Gate(name) => Self::Gate(bounded(name, NAME_BYTES)),
            Self::Person(name) => Self::person(name),
            Self::Program(name) => Self::program(name),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plan => f.pad("the plan"),
            Self::Judge => f.pad("the judge"),
            Self::Probe(name) => write!(f, "probe {name:?}"),
            Self::Gate(name) => write!(f, "gate {name:?}"),
            Self::Person(name) | Self::Program(name) => f.pad(name),
        }
    }
}
