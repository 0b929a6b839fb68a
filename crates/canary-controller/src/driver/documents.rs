use std::{sync::Arc, time::Duration};

use canary_rollout::{Event, Rollout};
use serde::{Serialize, de::DeserializeOwned};
use tokio::time::timeout;

use crate::driver::attempt_judge::StoredEvidence;
use crate::store::{
    CALL_DEADLINE, Document, DocumentWatch, EventRecord, Retry, Revision, Settled, StateStore,
    StoreError, StoreKey, Swap, Versioned, settle,
};

/// The documents of one canary in the store: the rollout, which replicas share, and the evidence, which
/// its driver keeps for itself.
pub(crate) struct Documents {
    store: Arc<dyn StateStore>,
    keys: Keys,
    /// The stored form that ours is based on; none if there is none.
    revision: Option<Revision>,
    /// The generation of that.
    generation: u64,
    evidence_revision: Option<Revision>,
    /// The number of the latest event in the store's history; none if that must be looked up.
    kept: Option<u64>,
}

/// Under which keys a canary's documents are.
pub(crate) struct Keys {
    pub(crate) rollout: StoreKey,
    pub(crate) evidence: StoreKey,
}

/// A stored rollout.
pub(crate) struct Found {
    pub(crate) rollout: Box<Rollout>,
    /// Whether the store has had a later one.
    pub(crate) went_back: bool,
}

/// What came of saving a rollout.
pub(crate) enum Saved {
    Done,
    /// It was stored, and somebody else has stored this one since.
    Overtaken(Found),
    /// It was not: somebody else has stored this one, or removed ours.
    Conflict(Option<Found>),
}

impl Documents {
    pub(crate) fn new(store: Arc<dyn StateStore>, keys: Keys) -> Self {
        let (revision, evidence_revision, kept) = (None, None, None);
        Self { store, keys, revision, generation: 0, evidence_revision, kept }
    }

    pub(crate) fn watch(&self) -> DocumentWatch {
        self.store.watch(&self.keys.rollout)
    }

    /// The stored rollout. The next save replaces it, and none but it.
    pub(crate) async fn load(&mut self) -> Result<Option<Found>, DocumentError> {
        let key = &self.keys.rollout;
        let found = in_time(format!("load {key}"), self.store.load(key)).await?;
        self.find(found)
    }

    /// The stored evidence. That which cannot be read is as good as none: it is collected anew.
    pub(crate) async fn load_evidence(&mut self) -> Result<Option<StoredEvidence>, StoreError> {
        let key = &self.keys.evidence;
        let found = match in_time(format!("load {key}"), self.store.load(key)).await {
            // What is there stays there for a person to look at.
            Err(StoreError::Corrupt { .. }) => return Ok(None),
            other => other?,
        };
        self.evidence_revision = found.as_ref().map(|found| found.revision.clone());
        Ok(found.and_then(|found| serde_json::from_str(found.document.as_str()).ok()))
    }

    pub(crate) const fn revision(&self) -> Option<&Revision> {
        self.revision.as_ref()
    }

    /// Whether the store is thought to have this, or anything if it is none.
    pub(crate) fn has(&self, revision: Option<&Revision>) -> bool {
        self.revision.is_some() && (revision.is_none() || self.revision.as_ref() == revision)
    }

    /// Saves a rollout, whose latest event tells it from those that others save.
    pub(crate) async fn save(
        &mut self,
        rollout: &Rollout,
        event: Option<&Event>,
    ) -> Result<Saved, DocumentError> {
        let document = write(rollout)?;
        let is_applied = |found: &Document| {
            let found = serde_json::from_str::<Rollout>(found.as_str());
            event.is_some_and(|event| found.is_ok_and(|it| it.history().any(|it| it == event)))
        };
        let (key, expected) = (&self.keys.rollout, self.revision.as_ref());
        let settled = settle(&*self.store, key, expected, &document, is_applied);
        let asked = format!("swap {key}");
        let settled = timeout(2 * PATIENCE, settled)
            .await
            .unwrap_or_else(|late| Err(StoreError::unknown(asked, late)))?;
        match settled {
            Settled::Done(revision) => {
                (self.revision, self.generation) = (Some(revision), rollout.generation());
                Ok(Saved::Done)
            }
            Settled::Overtaken(found) => {
                let rollout = self.read(&found.document)?;
                Ok(Saved::Overtaken(self.base_on(rollout, found.revision)))
            }
            Settled::Conflict(found) => Ok(Saved::Conflict(self.find(found)?)),
        }
    }

    /// Saves evidence, over whatever is there.
    pub(crate) async fn save_evidence(
        &mut self,
        evidence: &StoredEvidence,
    ) -> Result<(), DocumentError> {
        let document = write_evidence(evidence)?;
        let asked = format!("swap {}", self.keys.evidence);
        let saved = timeout(PATIENCE, self.overwrite_evidence(&document)).await;
        Ok(saved.unwrap_or_else(|late| Err(StoreError::unavailable(asked, late)))?)
    }

    async fn overwrite_evidence(&mut self, document: &Document) -> Result<(), StoreError> {
        let key = &self.keys.evidence;
        let mut failed = None;
        // Again, if what is there is of the process before, or of a call without an answer.
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

    /// Whether events of a stored rollout are not in the store's history yet.
    pub(crate) fn lacks_events(&self, rollout: &Rollout) -> bool {
        self.kept != Some(latest(rollout))
    }

    /// Adds those to it, in order.
    pub(crate) async fn keep_events(&mut self, rollout: &Rollout) -> Result<(), DocumentError> {
        let key = &self.keys.rollout;
        let kept = match self.kept {
            Some(kept) => kept,
            None => {
                let events = in_time(format!("list {key}"), self.store.events(key, MOST)).await?;
                let is_there = |event: &Event| {
                    events
                        .iter()
                        .any(|it| serde_json::from_str(it.as_str()).ok().as_ref() == Some(event))
                };
                rollout.history().rev().find(|event| is_there(event)).map_or(0, |it| it.number)
            }
        };
        self.kept = Some(kept);
        for event in rollout.history().filter(|event| event.number > kept) {
            let document = EventRecord::try_new(to_json(event)).map_err(DocumentError::unfit)?;
            let append = self.store.append_event(key, &document);
            let appended = timeout(PATIENCE, append).await;
            match appended {
                Ok(Ok(())) => self.kept = Some(event.number),
                Ok(Err(error)) => {
                    if error.retry() == Retry::AfterLoad {
                        self.kept = None;
                    }
                    return Err(error.into());
                }
                Err(late) => {
                    self.kept = None;
                    let asked = format!("append an event to {key}");
                    return Err(StoreError::unknown(asked, late).into());
                }
            }
        }
        self.kept = Some(latest(rollout));
        Ok(())
    }

    /// Somebody else has stored a rollout after ours, and adds the events that we did not have.
    pub(crate) fn leave_events(&mut self, ours: &Rollout, theirs: &Rollout) {
        self.kept = (self.kept == Some(latest(ours))).then(|| latest(theirs));
    }

    fn find(&mut self, found: Option<Versioned>) -> Result<Option<Found>, DocumentError> {
        let Some(found) = found else {
            self.revision = None;
            return Ok(None);
        };
        // What cannot be read is not replaced.
        let rollout = self.read(&found.document)?;
        Ok(Some(self.base_on(rollout, found.revision)))
    }

    fn base_on(&mut self, rollout: Rollout, revision: Revision) -> Found {
        let went_back = rollout.generation() < self.generation;
        (self.revision, self.generation) = (Some(revision), rollout.generation());
        Found { rollout: Box::new(rollout), went_back }
    }

    fn read<T: DeserializeOwned>(&self, document: &Document) -> Result<T, DocumentError> {
        serde_json::from_str(document.as_str()).map_err(|error| DocumentError::Unreadable {
            key: self.keys.rollout.to_string(),
            why: error.to_string(),
        })
    }
}

/// The number of a rollout's latest event.
fn latest(rollout: &Rollout) -> u64 {
    rollout.history().last().map_or(0, |event| event.number)
}

/// Stores promise to answer in time. One that does not must not keep the driver.
async fn in_time<T>(
    asked: String,
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    timeout(PATIENCE, call).await.unwrap_or_else(|late| Err(StoreError::unavailable(asked, late)))
}

fn write(document: &impl Serialize) -> Result<Document, DocumentError> {
    Document::try_new(to_json(document)).map_err(DocumentError::unfit)
}

/// As many of the keys as there is room for.
fn write_evidence(evidence: &StoredEvidence) -> Result<Document, DocumentError> {
    write(evidence).or_else(|error| match evidence.with_fewer_keys() {
        Some(fewer) => write_evidence(&fewer),
        None => Err(error),
    })
}

fn to_json(document: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(document).expect("all keys are texts, and what is written is in memory")
}

/// A document that cannot be had, or stored.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DocumentError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("what is stored as {key} is no rollout: {why}")]
    Unreadable { key: String, why: String },
    #[error("it does not fit the store: {0}")]
    Unfit(String),
    #[error("others keep changing it")]
    Contended,
}

impl DocumentError {
    /// Whether it may be stored all the same.
    pub(crate) fn is_unknown(&self) -> bool {
        matches!(self, Self::Store(error) if error.retry() == Retry::AfterLoad)
    }

    /// Whether it will be no better the next time.
    pub(crate) fn is_lasting(&self) -> bool {
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

/// A little more than a store may take.
const PATIENCE: Duration = CALL_DEADLINE.saturating_add(Duration::from_millis(500));
/// As many events as a rollout can have.
const MOST: usize = 64;
