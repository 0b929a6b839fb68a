use std::sync::Arc;

use canary_rollout::Rollout;
use serde::{Serialize, de::DeserializeOwned};

use super::evidence::StoredEvidence;
use crate::store::{
    Document, Event, Revision, StateStore, StoreError, StoreKey, Swap, Versioned, Watch,
};

/// The documents of one canary in the store: the rollout, which replicas share, and the evidence, which
/// its driver keeps for itself.
pub(crate) struct Documents {
    store: Arc<dyn StateStore>,
    keys: Keys,
    /// The stored form that ours is based on; none if there is none.
    revision: Option<Revision>,
    evidence_revision: Option<Revision>,
}

/// Under which keys a canary's documents are.
pub(crate) struct Keys {
    pub(crate) rollout: StoreKey,
    pub(crate) evidence: StoreKey,
}

/// What came of saving a rollout.
pub(crate) enum Saved {
    Done,
    /// Somebody else has stored this one meanwhile, or removed ours.
    Conflict(Option<Box<Rollout>>),
}

impl Documents {
    pub(crate) fn new(store: Arc<dyn StateStore>, keys: Keys) -> Self {
        Self { store, keys, revision: None, evidence_revision: None }
    }

    pub(crate) fn watch(&self) -> Watch {
        self.store.watch(&self.keys.rollout)
    }

    /// The stored rollout. The next save replaces it, and none but it.
    pub(crate) async fn load(&mut self) -> Result<Option<Rollout>, DocumentError> {
        let found = self.store.load(&self.keys.rollout).await?;
        self.revision = found.as_ref().map(|found| found.revision.clone());
        found.map(|found| self.read(&found.document)).transpose()
    }

    /// The stored evidence. That which cannot be read is as good as none: it is collected anew.
    pub(crate) async fn load_evidence(&mut self) -> Result<Option<StoredEvidence>, StoreError> {
        let found = self.store.load(&self.keys.evidence).await?;
        self.evidence_revision = found.as_ref().map(|found| found.revision.clone());
        Ok(found.and_then(|found| serde_json::from_str(found.document.as_str()).ok()))
    }

    /// Takes note of what a watch has brought. None if it is what we have stored ourselves.
    pub(crate) fn see(&mut self, found: Versioned) -> Option<Result<Rollout, DocumentError>> {
        if self.revision.as_ref() == Some(&found.revision) {
            return None;
        }
        let rollout = self.read(&found.document);
        if rollout.is_ok() {
            self.revision = Some(found.revision);
        }
        Some(rollout)
    }

    pub(crate) async fn save(&mut self, rollout: &Rollout) -> Result<Saved, DocumentError> {
        let document = write(rollout)?;
        let (key, expected) = (&self.keys.rollout, self.revision.as_ref());
        match self.store.compare_and_swap(key, expected, &document).await? {
            Swap::Done(revision) => {
                self.revision = Some(revision);
                Ok(Saved::Done)
            }
            Swap::Conflict(found) => {
                self.revision = found.as_ref().map(|found| found.revision.clone());
                let Some(found) = found else { return Ok(Saved::Conflict(None)) };
                if found.document == document {
                    // Ours: the answer to an earlier attempt was lost.
                    return Ok(Saved::Done);
                }
                let theirs = self.read(&found.document)?;
                Ok(Saved::Conflict(Some(Box::new(theirs))))
            }
        }
    }

    /// Saves evidence, over whatever is there.
    pub(crate) async fn save_evidence(
        &mut self,
        evidence: &StoredEvidence,
    ) -> Result<(), DocumentError> {
        let document = write_evidence(evidence)?;
        // Once more, if what is there is of the process before.
        for _ in 0..2 {
            let (key, expected) = (&self.keys.evidence, self.evidence_revision.as_ref());
            match self.store.compare_and_swap(key, expected, &document).await? {
                Swap::Done(revision) => {
                    self.evidence_revision = Some(revision);
                    return Ok(());
                }
                Swap::Conflict(found) => {
                    self.evidence_revision = found.map(|found| found.revision);
                }
            }
        }
        Ok(())
    }

    pub(crate) async fn append(&self, event: &canary_rollout::Event) -> Result<(), DocumentError> {
        let event = Event::try_new(to_json(event)).map_err(DocumentError::unfit)?;
        Ok(self.store.append_event(&self.keys.rollout, &event).await?)
    }

    fn read<T: DeserializeOwned>(&self, document: &Document) -> Result<T, DocumentError> {
        serde_json::from_str(document.as_str()).map_err(|error| DocumentError::Unreadable {
            key: self.keys.rollout.to_string(),
            why: error.to_string(),
        })
    }
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
}

impl DocumentError {
    fn unfit(error: impl std::fmt::Display) -> Self {
        Self::Unfit(error.to_string())
    }
}
