use std::sync::Arc;

use canary_rollout::{
    Rollout,
    event::Event,
    replica::{Loaded, Swapped},
};

use crate::{
    driver::{
        decisions::Decisions,
        document_error::{DocumentError, write},
    },
    store::{
        Document, DocumentWatch, Retry, Revision, Settled, StateStore, StoreKey, WatchEvent, settle,
    },
};

/// The document of a rollout in the store, which all replicas share, and its history of events.
pub(super) struct RolloutDocument {
    store: Arc<dyn StateStore>,
    key: StoreKey,
    /// The place of the document, for messages.
    pub(super) path: String,
    /// The revision that was last loaded or saved.
    revision: Option<Revision>,
    /// The number of the latest event of that rollout.
    latest: u64,
    /// The number of the latest event in the store's history, or `None` if it is unknown.
    appended: Option<u64>,
    /// Whether the latest save has an unknown result.
    is_in_doubt: bool,
}

/// The keys of a canary's documents.
#[derive(Clone)]
pub(crate) struct DocumentKeys {
    pub(crate) rollout: StoreKey,
    pub(crate) evidence: StoreKey,
}

impl RolloutDocument {
    pub(super) fn new(store: Arc<dyn StateStore>, key: StoreKey) -> Self {
        let path = store.location(&key);
        Self { store, key, path, revision: None, latest: 0, appended: None, is_in_doubt: false }
    }

    pub(super) fn watch(&self) -> DocumentWatch {
        self.store.watch(&self.key)
    }

    /// Returns whether a watch has reported another rollout than the one last loaded or saved.
    ///
    /// A value from a watch may be older than the latest save of this replica. It is therefore only
    /// a hint to load.
    pub(super) fn is_news(&self, event: &WatchEvent) -> bool {
        match event {
            WatchEvent::Value(found) => self.revision.as_ref() != Some(&found.revision),
            WatchEvent::Absent => self.revision.is_some(),
            WatchEvent::Stale { .. } | WatchEvent::Fresh => false,
        }
    }

    /// Loads the rollout. The next save replaces exactly this revision.
    pub(super) async fn load(&mut self) -> Result<Loaded, DocumentError> {
        let found = self.store.load(&self.key).await?;
        match found {
            None => match self.revision.take() {
                None => Ok(Loaded::Unchanged),
                Some(_) => Ok(Loaded::Absent),
            },
            Some(found) if self.revision.as_ref() == Some(&found.revision) => Ok(Loaded::Unchanged),
            Some(found) => {
                Ok(Loaded::Found(Box::new(self.base_on(&found.document, found.revision)?)))
            }
        }
    }

    /// Saves a rollout. Its latest event identifies it if the result of the swap is unknown.
    pub(super) async fn save(
        &mut self,
        rollout: &Rollout,
        latest_event: Option<&Event>,
    ) -> Result<Swapped, DocumentError> {
        let document = write(rollout)?;
        let is_applied = |found: &Document| {
            let found = serde_json::from_str::<Rollout>(found.as_str());
            latest_event.is_some_and(|event| found.is_ok_and(|it| it.contains(event)))
        };
        let (key, expected) = (&self.key, self.revision.as_ref());
        let settled = settle(&*self.store, key, expected, &document, is_applied).await;
        self.is_in_doubt |= matches!(&settled, Err(error) if error.retry() == Retry::AfterLoad);
        match settled? {
            Settled::Done(revision) => {
                self.is_in_doubt = false;
                (self.revision, self.latest) = (Some(revision), latest_number(rollout));
                Ok(Swapped::Saved)
            }
            Settled::Overtaken(found) => {
                self.is_in_doubt = true;
                let theirs = self.base_on(&found.document, found.revision)?;
                Ok(Swapped::Replaced(Box::new(theirs)))
            }
            Settled::Conflict(Some(found)) => {
                let theirs = self.base_on(&found.document, found.revision)?;
                Ok(Swapped::Conflict(Some(Box::new(theirs))))
            }
            Settled::Conflict(None) => {
                self.revision = None;
                Ok(Swapped::Conflict(None))
            }
        }
    }

    /// Makes a document the one that the next save replaces. An unreadable document is not replaced.
    fn base_on(
        &mut self,
        document: &Document,
        revision: Revision,
    ) -> Result<Rollout, DocumentError> {
        let rollout = read_rollout(document, &self.key, &self.path)?;
        self.revision = Some(revision);
        // The replica that has stored new events appends them itself, and it may be this one.
        let latest = latest_number(&rollout);
        let is_complete = !self.is_in_doubt && self.appended == Some(self.latest);
        self.appended = is_complete.then_some(latest);
        self.is_in_doubt = false;
        self.latest = latest;
        Ok(rollout)
    }

    /// Reads the store's history before the next event is appended. Call it when the replica that
    /// should have appended its events may have died.
    pub(super) const fn doubt_history(&mut self) {
        self.appended = None;
    }

    /// Returns whether events of the stored rollout may be missing in the store's history.
    pub(super) fn lacks_events(&self, rollout: &Rollout) -> bool {
        self.revision.is_some() && self.appended != Some(latest_number(rollout))
    }

    /// Appends the missing events to the store's history, in order.
    pub(super) async fn append_events(
        &mut self,
        rollout: &Rollout,
        decisions: &Decisions,
    ) -> Result<(), DocumentError> {
        let key = &self.key;
        let appended = match self.appended {
            Some(appended) => appended,
            None => {
                let events = self.store.events(key, MAX_EVENTS).await?;
                let is_stored = |event: &Event| {
                    events
                        .iter()
                        .any(|it| serde_json::from_str(it.as_str()).ok().as_ref() == Some(event))
                };
                rollout.history().rev().find(|event| is_stored(event)).map_or(0, |it| it.number)
            }
        };
        self.appended = Some(appended);
        for event in rollout.history().filter(|event| event.number > appended) {
            let record = decisions.write(event)?;
            match self.store.append_event(key, &record).await {
                Ok(()) => self.appended = Some(event.number),
                Err(error) => {
                    if error.retry() == Retry::AfterLoad {
                        self.appended = None;
                    }
                    return Err(error.into());
                }
            }
        }
        self.appended = Some(latest_number(rollout));
        Ok(())
    }
}

/// Reads the rollout that a key has as its document. `path` is the place of the document, for
/// messages.
pub(super) fn read_rollout(
    document: &Document,
    key: &StoreKey,
    path: &str,
) -> Result<Rollout, DocumentError> {
    let unreadable = |reason| DocumentError::Unreadable { path: path.to_owned(), reason };
    let rollout: Rollout =
        serde_json::from_str(document.as_str()).map_err(|error| unreadable(error.to_string()))?;
    if rollout.name().as_str() != key.name() {
        return Err(unreadable(format!("it is the one of canary {}", rollout.name())));
    }
    Ok(rollout)
}

/// Returns the number of a rollout's latest event.
fn latest_number(rollout: &Rollout) -> u64 {
    rollout.latest().map_or(0, |latest| latest.number)
}

/// The number of events in the history of a rollout.
const MAX_EVENTS: usize = 64;
