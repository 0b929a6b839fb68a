use std::sync::Arc;

use canary_controller::rollout::event::{Event, EventId};

use crate::view;

/// The latest stored events, oldest first.
#[derive(Debug)]
pub(crate) struct EventLog(Vec<StoredEvent>);

/// An event, and the JSON that all streams share.
#[derive(Clone, Debug)]
pub(crate) struct StoredEvent {
    pub(crate) id: EventId,
    pub(crate) json: Arc<str>,
}

impl EventLog {
    /// The number of events that a log keeps. Stores keep at least as many.
    pub(crate) const MOST: usize = 256;

    pub(crate) fn new(events: &[Event]) -> Self {
        let stored = |event: &Event| {
            let view = view::event(event, true);
            let json = serde_json::to_string(&view).expect("an event has texts and numbers only");
            StoredEvent { id: event.id(), json: json.into() }
        };
        Self(events.iter().map(stored).collect())
    }

    /// Returns the events after this one, or `None` if it is not in the log.
    pub(crate) fn after(&self, id: EventId) -> Option<&[StoredEvent]> {
        let index = self.0.iter().rposition(|event| event.id == id)?;
        Some(&self.0[index + 1..])
    }

    pub(crate) fn all(&self) -> &[StoredEvent] {
        &self.0
    }
}
