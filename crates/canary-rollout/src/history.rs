use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use crate::event::Event;

/// The latest events of a rollout: 64 at most, and fewer if they are long.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct History {
    /// How many events there have ever been.
    pub(crate) count: u64,
    pub(crate) events: VecDeque<Event>,
}

impl History {
    pub(crate) fn push(&mut self, event: Event) {
        if self.events.len() == MOST_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }
}

const MOST_EVENTS: usize = 64;
