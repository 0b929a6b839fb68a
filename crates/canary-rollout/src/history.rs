use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::event::Event;

/// The latest events of a rollout.
///
/// It keeps 64 of them at most, and no more than fit into 6 KiB as JSON, so that the document in which
/// replicas share the rollout stays small. Whoever wants all events keeps those that each
/// [`Outcome`](crate::Outcome) brings.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct History {
    /// How many events there have ever been.
    pub(crate) count: u64,
    pub(crate) events: VecDeque<Event>,
}

impl History {
    pub(crate) fn push(&mut self, event: Event) {
        self.events.push_back(event);
        let size = |event: &Event| serde_json::to_string(event).map_or(0, |text| text.len() + 1);
        let mut total: usize = self.events.iter().map(size).sum();
        while self.events.len() > MOST_EVENTS || total > MOST_BYTES {
            let Some(oldest) = self.events.pop_front() else { break };
            total -= size(&oldest);
        }
    }
}

const MOST_EVENTS: usize = 64;

const MOST_BYTES: usize = 6 * 1024;
