use std::{fmt, pin::Pin, time::Duration};

use super::{
    Document, DocumentWatch, EventRecord, KeyRange, Listed, Removal, Revision, StoreError,
    StoreKey, Swap, Versioned,
};

/// The future returned by the methods of a [`StateStore`].
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The time within which a call must return a result or fail: 2 s.
pub const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// A store for the state of rollouts: one document per key, and its recent events.
///
/// The [module documentation](super) lists the guarantees and explains how to implement a store.
/// The futures need a Tokio runtime with time enabled.
pub trait StateStore: fmt::Debug + Send + Sync + 'static {
    /// Returns the place of a key's document, for people who look for it: the path of a file, or the
    /// key itself.
    fn location(&self, key: &StoreKey) -> String {
        key.to_string()
    }

    /// Reads the document of a key. Returns `None` if the key has no document.
    ///
    /// The read is linearizable: it sees every swap that any process had acknowledged before the
    /// call (S1).
    ///
    /// # Errors
    ///
    /// Returns [`Unavailable`](StoreError::Unavailable), [`Refused`](StoreError::Refused), or
    /// [`Corrupt`](StoreError::Corrupt) if the stored bytes are not a document. Never returns
    /// [`Unknown`](StoreError::Unknown).
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>>;

    /// Stores a document if the key has the `expected` revision, or, if that is `None`, if the key
    /// has no document (S2, S3). A conflict contains the current document (S4).
    ///
    /// An acknowledged document survives the crash of any process (S7). Dropping the future leaves
    /// open whether the swap is made, like [`StoreError::Unknown`].
    ///
    /// # Errors
    ///
    /// Returns any [`StoreError`]. After [`Unknown`](StoreError::Unknown) the document may have
    /// been stored, or may be stored later; [`settle`](super::settle()) resolves it. After any
    /// other error nothing was stored.
    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap>;

    /// Removes the document of a key if it has the `expected` revision. A conflict contains the
    /// current document (S17). The history of the key remains.
    ///
    /// There is no unconditional removal, because it could remove a document that another writer
    /// stored after the caller last looked. To remove a document whatever it is, load it first.
    ///
    /// # Errors
    ///
    /// Returns any [`StoreError`]. After [`Unknown`](StoreError::Unknown) the document may have
    /// been removed, or may be removed later. A removal can be repeated: its revision never
    /// identifies another document (S5). A conflict then means that the document is gone.
    fn remove<'a>(&'a self, key: &'a StoreKey, expected: &'a Revision) -> StoreFuture<'a, Removal>;

    /// Returns the keys of a range that have a document, and the documents, in the order of the
    /// keys.
    ///
    /// Each element is as current as a [`load`](Self::load) (S16). The elements need not have been
    /// current at the same time.
    ///
    /// # Errors
    ///
    /// Returns [`Unavailable`](StoreError::Unavailable) or [`Refused`](StoreError::Refused). A
    /// corrupt document is an element of the list and no error.
    fn list<'a>(&'a self, range: &'a KeyRange) -> StoreFuture<'a, Vec<Listed>>;

    /// Watches the document of a key.
    ///
    /// See [`WatchEvent`](super::WatchEvent) for the events. Dropping the watch stops it.
    fn watch(&self, key: &StoreKey) -> DocumentWatch;

    /// Appends an event to the history of a key. The key need not have a document.
    ///
    /// The event comes after all events that were acknowledged before the call (S12). Once
    /// acknowledged, it is as durable as a document (S7).
    ///
    /// # Errors
    ///
    /// Returns [`Unavailable`](StoreError::Unavailable), [`Unknown`](StoreError::Unknown) or
    /// [`Refused`](StoreError::Refused).
    fn append_event<'a>(&'a self, key: &'a StoreKey, event: &'a EventRecord)
    -> StoreFuture<'a, ()>;

    /// Reads the last events of a key, at most `limit`, oldest first.
    ///
    /// # Errors
    ///
    /// Returns [`Unavailable`](StoreError::Unavailable) or [`Refused`](StoreError::Refused).
    fn events<'a>(&'a self, key: &'a StoreKey, limit: usize) -> StoreFuture<'a, Vec<EventRecord>>;
}
