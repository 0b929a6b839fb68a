use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::event::{Event, EventId};

/// The latest events of a rollout: at most 64, or fewer if they are long.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct History {
    /// The number of all events so far.
    pub(crate) count: u64,
    /// The latest event, which may be too long to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latest: Option<EventId>,
    pub(crate) events: VecDeque<Event>,
}

impl History {
    pub(crate) fn push(&mut self, event: Event) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.latest = Some(event.id());
        self.events.push_back(event);
    }
}

const MAX_EVENTS: usize = 64;
