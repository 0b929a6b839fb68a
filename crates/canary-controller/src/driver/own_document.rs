use std::sync::Arc;

use crate::store::{
    Document, Removal, Retry, Revision, Settled, StateStore, StoreError, StoreKey, Versioned,
    settle,
};

/// A document of the store that this process writes over whatever is there.
pub(super) struct OwnDocument {
    store: Arc<dyn StateStore>,
    key: StoreKey,
    revision: Option<Revision>,
    /// Whether the result of the latest write is unknown.
    is_in_doubt: bool,
}

impl OwnDocument {
    pub(super) fn new(store: Arc<dyn StateStore>, key: StoreKey) -> Self {
        Self { store, key, revision: None, is_in_doubt: false }
    }

    pub(super) const fn key(&self) -> &StoreKey {
        &self.key
    }

    /// Returns whether this is the revision that was last read or written.
    pub(super) fn is_at(&self, revision: &Revision) -> bool {
        self.revision.as_ref() == Some(revision)
    }

    /// Returns the stored document.
    pub(super) async fn load(&mut self) -> Result<Option<Versioned>, StoreError> {
        let found = self.store.load(&self.key).await?;
        self.revision = found.as_ref().map(|found| found.revision.clone());
        self.is_in_doubt = false;
        Ok(found)
    }

    /// Replaces the stored document. Each document must differ from the ones before.
    pub(super) async fn write(&mut self, document: &Document) -> Result<(), StoreError> {
        if self.is_in_doubt {
            // If no write is answered, only a load tells the revision.
            self.load().await?;
        }
        for _ in 0..MAX_ATTEMPTS {
            let expected = self.revision.as_ref();
            let settled = settle(&*self.store, &self.key, expected, document, |_| false).await;
            self.is_in_doubt = settled.as_ref().is_err_and(|it| it.retry() == Retry::AfterLoad);
            match settled? {
                Settled::Done(revision) => {
                    self.revision = Some(revision);
                    return Ok(());
                }
                // An earlier write has an unknown result, or the document was removed or replaced.
                Settled::Conflict(found) => self.revision = found.map(|found| found.revision),
                Settled::Overtaken(found) => self.revision = Some(found.revision),
            }
        }
        let operation = format!("swap {}", self.key);
        Err(StoreError::unavailable(operation, "the document keeps changing"))
    }

    /// Removes the document that was last loaded. Returns whether there was one. A document that has
    /// replaced it stays.
    pub(super) async fn remove(&mut self) -> Result<bool, StoreError> {
        let Some(revision) = &self.revision else { return Ok(false) };
        let (Removal::Done | Removal::Conflict(_)) = self.store.remove(&self.key, revision).await?;
        self.revision = None;
        Ok(true)
    }
}

const MAX_ATTEMPTS: usize = 3;
