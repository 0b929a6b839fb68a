use std::{error, fmt};

use canary_core::{EventName, Weight};

/// The error for an event that the options do not name. The message lists the known events.
#[derive(Clone, Eq, PartialEq)]
pub struct UnknownEvent {
    pub(super) event: String,
    pub(super) known: Vec<EventName>,
}

impl fmt::Display for UnknownEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { event, known } = self;
        if known.is_empty() {
            return write!(f, "unknown event {event:?}: the options name no events");
        }
        let known: Vec<_> = known.iter().map(EventName::as_str).collect();
        write!(f, "unknown event {event:?}: the options name {}", known.join(", "))
    }
}

canary_core::debug_as_display!(UnknownEvent);

impl error::Error for UnknownEvent {}

/// The error for a weight at which this process cannot have assigned the call.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct UnknownWeight {
    pub(super) weight: Weight,
}

impl fmt::Display for UnknownWeight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "weight {} has not been in force with the current salt", self.weight)
    }
}

canary_core::debug_as_display!(UnknownWeight);

impl error::Error for UnknownWeight {}
