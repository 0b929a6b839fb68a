use std::{sync::Arc, time::Duration};

use canary_rollout::{Rollout, event::Event};
use serde::Serialize;
use tokio::time::timeout;

use crate::{
    driver::attempt_judge::StoredEvidence,
    store::{
        CALL_DEADLINE, Document, DocumentWatch, EventRecord, Retry, Revision, Settled, StateStore,
        StoreError, StoreKey, Swap, Versioned, settle,
    },
};

/// The documents of one canary in the store: the rollout, which all replicas share, and the
/// evidence of this driver.
pub(crate) struct Documents {
    store: Arc<dyn StateStore>,
    keys: DocumentKeys,
    /// The revision of the rollout that was last loaded or saved.
    revision: Option<Revision>,
    /// The generation of that rollout.
    generation: u64,
    evidence_revision: Option<Revision>,
    /// The number of the latest event in the store's history, or `None` if it is unknown.
    appended: Option<u64>,
}

/// The keys of a canary's documents.
pub(crate) struct DocumentKeys {
    pub(crate) rollout: StoreKey,
    pub(crate) evidence: StoreKey,
}

/// A stored rollout.
pub(crate) struct StoredRollout {
    pub(crate) rollout: Box<Rollout>,
    /// Whether it has a lower generation than the one that was loaded or saved before.
    pub(crate) is_older: bool,
}

/// The result of a save.
pub(crate) enum SaveResult {
    Saved,
    /// The rollout was saved, and another replica has since replaced it by this one.
    SavedAndReplaced(StoredRollout),
    /// The rollout was not saved: another replica has stored this one, or the document was removed.
    Conflict(Option<StoredRollout>),
}

impl Documents {
    pub(crate) fn new(store: Arc<dyn StateStore>, keys: DocumentKeys) -> Self {
        let (revision, evidence_revision, appended) = (None, None, None);
        Self { store, keys, revision, generation: 0, evidence_revision, appended }
    }

    pub(crate) fn watch(&self) -> DocumentWatch {
        self.store.watch(&self.keys.rollout)
    }

    /// Loads the rollout. The next save replaces exactly this revision.
    pub(crate) async fn load(&mut self) -> Result<Option<StoredRollout>, DocumentError> {
        let key = &self.keys.rollout;
        let found = with_timeout(format!("load {key}"), self.store.load(key)).await?;
        self.set_base(found)
    }

    /// Loads the evidence. Returns `None` if it cannot be read.
    pub(crate) async fn load_evidence(&mut self) -> Result<Option<StoredEvidence>, StoreError> {
        let key = &self.keys.evidence;
        let found = match with_timeout(format!("load {key}"), self.store.load(key)).await {
            // The corrupt document is kept for inspection: without its revision it is not replaced.
            Err(StoreError::Corrupt { .. }) => return Ok(None),
            other => other?,
        };
        self.evidence_revision = found.as_ref().map(|found| found.revision.clone());
        Ok(found.and_then(|found| serde_json::from_str(found.document.as_str()).ok()))
    }

    pub(crate) const fn revision(&self) -> Option<&Revision> {
        self.revision.as_ref()
    }

    /// Returns whether `revision` is the last known revision. For `None`, returns whether any
    /// revision is known.
    pub(crate) fn is_based_on(&self, revision: Option<&Revision>) -> bool {
        self.revision.is_some() && (revision.is_none() || self.revision.as_ref() == revision)
    }

    /// Saves a rollout. Its latest event identifies it if the result of the swap is unknown.
    pub(crate) async fn save(
        &mut self,
        rollout: &Rollout,
        latest_event: Option<&Event>,
    ) -> Result<SaveResult, DocumentError> {
        let document = write(rollout)?;
        let is_applied = |found: &Document| {
            let found = serde_json::from_str::<Rollout>(found.as_str());
            latest_event
                .is_some_and(|event| found.is_ok_and(|it| it.history().any(|it| it == event)))
        };
        let (key, expected) = (&self.keys.rollout, self.revision.as_ref());
        let settled = settle(&*self.store, key, expected, &document, is_applied);
        let operation = format!("swap {key}");
        let settled = timeout(2 * CALL_TIMEOUT, settled)
            .await
            .unwrap_or_else(|elapsed| Err(StoreError::unknown(operation, elapsed)))?;
        match settled {
            Settled::Done(revision) => {
                (self.revision, self.generation) = (Some(revision), rollout.generation());
                Ok(SaveResult::Saved)
            }
            Settled::Overtaken(found) => {
                let rollout = self.read(&found.document)?;
                Ok(SaveResult::SavedAndReplaced(self.base_on(rollout, found.revision)))
            }
            Settled::Conflict(found) => Ok(SaveResult::Conflict(self.set_base(found)?)),
        }
    }

    /// Saves the evidence, and overwrites the stored evidence.
    pub(crate) async fn save_evidence(
        &mut self,
        evidence: &StoredEvidence,
    ) -> Result<(), DocumentError> {
        let document = write_evidence(evidence)?;
        let operation = format!("swap {}", self.keys.evidence);
        let saved = timeout(CALL_TIMEOUT, self.overwrite_evidence(&document)).await;
        Ok(saved.unwrap_or_else(|elapsed| Err(StoreError::unavailable(operation, elapsed)))?)
    }

    async fn overwrite_evidence(&mut self, document: &Document) -> Result<(), StoreError> {
        let key = &self.keys.evidence;
        let mut failed = None;
        // The previous process, or a swap with an unknown result, can cause a conflict.
        for _ in 0..3 {
            let expected = self.evidence_revision.as_ref();
            match self.store.compare_and_swap(key, expected, document).await {
                Ok(Swap::Done(revision)) => {
                    self.evidence_revision = Some(revision);
                    return Ok(());
                }
                Ok(Swap::Conflict(found)) => {
                    self.evidence_revision = found.map(|found| found.revision);
                }
                Err(error) if error.retry() == Retry::AfterLoad => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        failed.map_or(Ok(()), |error| Err(StoreError::unavailable(format!("swap {key}"), error)))
    }

    /// Returns whether events of the stored rollout may be missing in the store's history.
    pub(crate) fn lacks_events(&self, rollout: &Rollout) -> bool {
        self.appended != Some(latest(rollout))
    }

    /// Appends the missing events to the store's history, in order.
    pub(crate) async fn append_events(&mut self, rollout: &Rollout) -> Result<(), DocumentError> {
        let key = &self.keys.rollout;
        let appended = match self.appended {
            Some(appended) => appended,
            None => {
                let events = self.store.events(key, MAX_EVENTS);
                let events = with_timeout(format!("list {key}"), events).await?;
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
            let document = EventRecord::try_new(to_json(event)).map_err(DocumentError::unfit)?;
            let append = self.store.append_event(key, &document);
            match timeout(CALL_TIMEOUT, append).await {
                Ok(Ok(())) => self.appended = Some(event.number),
                Ok(Err(error)) => {
                    if error.retry() == Retry::AfterLoad {
                        self.appended = None;
                    }
                    return Err(error.into());
                }
                Err(elapsed) => {
                    self.appended = None;
                    let operation = format!("append an event to {key}");
                    return Err(StoreError::unknown(operation, elapsed).into());
                }
            }
        }
        self.appended = Some(latest(rollout));
        Ok(())
    }

    /// Skips the new events of a rollout stored by another replica, which appends them itself.
    pub(crate) fn skip_events(&mut self, ours: &Rollout, theirs: &Rollout) {
        self.appended = (self.appended == Some(latest(ours))).then(|| latest(theirs));
    }

    /// Makes a loaded document the one that the next save replaces.
    fn set_base(
        &mut self,
        found: Option<Versioned>,
    ) -> Result<Option<StoredRollout>, DocumentError> {
        let Some(found) = found else {
            self.revision = None;
            return Ok(None);
        };
        // An unreadable document is not replaced.
        let rollout = self.read(&found.document)?;
        Ok(Some(self.base_on(rollout, found.revision)))
    }

    fn base_on(&mut self, rollout: Rollout, revision: Revision) -> StoredRollout {
        let is_older = rollout.generation() < self.generation;
        (self.revision, self.generation) = (Some(revision), rollout.generation());
        StoredRollout { rollout: Box::new(rollout), is_older }
    }

    fn read(&self, document: &Document) -> Result<Rollout, DocumentError> {
        let key = &self.keys.rollout;
        let unreadable = |reason| DocumentError::Unreadable { key: key.to_string(), reason };
        let rollout: Rollout = serde_json::from_str(document.as_str())
            .map_err(|error| unreadable(error.to_string()))?;
        if rollout.name().as_str() != key.name() {
            return Err(unreadable(format!("it is the one of canary {}", rollout.name())));
        }
        Ok(rollout)
    }
}

/// Returns the number of a rollout's latest event.
fn latest(rollout: &Rollout) -> u64 {
    rollout.history().last().map_or(0, |event| event.number)
}

/// Limits the time of a call, so that a store that breaks its contract cannot block the driver.
async fn with_timeout<T>(
    operation: String,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(CALL_TIMEOUT, call)
        .await
        .unwrap_or_else(|elapsed| Err(StoreError::unavailable(operation, elapsed)))
}

fn write(document: &impl Serialize) -> Result<Document, DocumentError> {
    Document::try_new(to_json(document)).map_err(DocumentError::unfit)
}

/// Serializes evidence. Leaves out keys until it fits into a document.
fn write_evidence(evidence: &StoredEvidence) -> Result<Document, DocumentError> {
    write(evidence).or_else(|error| match evidence.with_fewer_keys() {
        Some(fewer) => write_evidence(&fewer),
        None => Err(error),
    })
}

fn to_json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document)
        .expect("the keys of all maps are strings, and writing to memory cannot fail")
}

/// The error of loading or saving a document.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the document {key} is not a rollout: {reason}")]
    Unreadable { key: String, reason: String },
    #[error("the document does not fit the store: {0}")]
    Unfit(String),
    #[error("other replicas keep changing the rollout")]
    Contended,
}

impl DocumentError {
    /// Returns whether the document may have been stored.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Store(error) if error.retry() == Retry::AfterLoad)
    }

    /// Returns whether a retry would fail in the same way.
    pub(crate) fn is_permanent(&self) -> bool {
        match self {
            Self::Store(error) => error.retry() == Retry::Never,
            Self::Unreadable { .. } | Self::Unfit(_) => true,
            Self::Contended => false,
        }
    }

    fn unfit(error: impl std::fmt::Display) -> Self {
        Self::Unfit(error.to_string())
    }
}

/// A little more than the time that a store has for a call.
const CALL_TIMEOUT: Duration = CALL_DEADLINE.saturating_add(Duration::from_millis(500));
/// The number of events in the history of a rollout.
const MAX_EVENTS: usize = 64;
