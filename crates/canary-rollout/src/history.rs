use std::{collections::VecDeque, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::event::{Event, EventId};

/// The latest events of a rollout: at most 64, or fewer if they are long.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct History {
    /// The number of all events so far.
    pub(crate) count: u64,
    /// The latest event, which may be too long to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) latest: Option<EventId>,
    /// Shared, because the replica copies the rollout for each tick.
    #[serde(serialize_with = "serialize", deserialize_with = "deserialize")]
    pub(crate) events: VecDeque<Arc<Event>>,
}

impl History {
    pub(crate) fn push(&mut self, event: Event) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.latest = Some(event.id());
        self.events.push_back(Arc::new(event));
    }
}

fn serialize<S: Serializer>(
    events: &VecDeque<Arc<Event>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(events.iter().map(|event| &**event))
}

fn deserialize<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<VecDeque<Arc<Event>>, D::Error> {
    let events = VecDeque::<Event>::deserialize(deserializer)?;
    Ok(events.into_iter().map(Arc::new).collect())
}

const MAX_EVENTS: usize = 64;
