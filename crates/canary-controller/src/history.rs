use std::{collections::BTreeMap, sync::Arc};

use canary_rollout::{
    Rollout,
    event::{Event, EventId},
};

use crate::{
    decision::Decision,
    store::{EventRecord, StateStore, StoreError, StoreKey},
};

/// Reads the stored events of a rollout.
#[derive(Clone)]
pub(crate) struct History {
    store: Arc<dyn StateStore>,
    key: StoreKey,
}

impl History {
    pub(crate) const fn new(store: Arc<dyn StateStore>, key: StoreKey) -> Self {
        Self { store, key }
    }

    /// Returns the latest events, at most `most`, oldest first.
    ///
    /// An event is stored with its rollout first. It is appended to the store's history after that,
    /// and twice if the result was unknown. Both are read, and each event is returned once.
    pub(crate) async fn read(&self, most: usize) -> Result<Vec<Event>, StoreError> {
        let appended = self.store.events(&self.key, most.saturating_mul(2)).await?;
        let stored = self.store.load(&self.key).await?;
        let appended = appended.iter().filter_map(|it| serde_json::from_str(it.as_str()).ok());
        let rollout = stored.and_then(|it| serde_json::from_str(it.document.as_str()).ok());
        let recent = rollout.iter().flat_map(|rollout: &Rollout| rollout.history().cloned());
        let events: BTreeMap<_, Event> =
            appended.chain(recent).map(|event: Event| (event.id(), event)).collect();
        let skipped = events.len().saturating_sub(most);
        Ok(events.into_values().skip(skipped).collect())
    }

    /// Returns the evidence behind an event; `None` if the history does not have it.
    pub(crate) async fn decision(&self, id: EventId) -> Result<Option<Decision>, StoreError> {
        let appended = self.store.events(&self.key, 2 * EventRecord::MIN_KEPT).await?;
        let decisions = appended.iter().rev().filter_map(Decision::read);
        Ok(decisions.into_iter().find(|decision| decision.event.id() == id))
    }
}
