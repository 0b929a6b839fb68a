use std::fmt;

use serde::{Deserialize, Serialize};

use crate::text::{NAME_BYTES, bounded};

/// The cause of an event: a part of the plan, the judge, a person or a program.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Actor {
    /// The plan: its steps, deadlines and calendar.
    Plan,
    /// The judge.
    Judge,
    /// The store, which has lost a rollout.
    Store,
    /// A probe, with its name in the plan.
    Probe(String),
    /// A gate, with its name in the plan.
    Gate(String),
    /// A person, with a name or the name of an access token.
    Person(String),
    /// A program, such as a deployment tool.
    Program(String),
}

impl Actor {
    /// Creates a person. A name is cut to 64 bytes.
    pub fn person(name: impl AsRef<str>) -> Self {
        Self::Person(bounded(name.as_ref(), NAME_BYTES))
    }

    /// Creates a program. A name is cut to 64 bytes.
    pub fn program(name: impl AsRef<str>) -> Self {
        Self::Program(bounded(name.as_ref(), NAME_BYTES))
    }

    pub(crate) fn bounded(&self) -> Self {
        match self {
            Self::Plan | Self::Judge | Self::Store => self.clone(),
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
            Self::Store => f.pad("the store"),
            Self::Probe(name) => write!(f, "probe {name:?}"),
            Self::Gate(name) => write!(f, "gate {name:?}"),
            Self::Person(name) | Self::Program(name) => f.pad(name),
        }
    }
}
