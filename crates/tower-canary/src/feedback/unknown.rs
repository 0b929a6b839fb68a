use std::{error, fmt};

use canary_core::{EventName, Weight};

/// An event that the options do not name. The message says which they do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UnknownEvent {
    pub(super) event: String,
    pub(super) known: Vec<EventName>,
}

impl fmt::Display for UnknownEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, known } = self;
        if known.is_empty() {
            return write!(f, "event {event:?} is not one of the canary's: it has none");
        }
        let known: Vec<_> = known.iter().map(EventName::as_str).collect();
        write!(f, "event {event:?} is not one of the canary's: {}", known.join(", "))
    }
}

impl error::Error for UnknownEvent {}

/// A weight at which no call can have been assigned here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UnknownWeight {
    pub(super) weight: Weight,
}

impl fmt::Display for UnknownWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight {} was not in force since the canary got its salt", self.weight)
    }
}

impl error::Error for UnknownWeight {}
