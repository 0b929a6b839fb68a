use std::{fmt, pin::Pin, time::Duration};

use super::{
    Document, DocumentWatch, EventRecord, Revision, StoreError, StoreKey, Swap, Versioned,
};

/// What a call of a [`StateStore`] returns: a boxed future.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// How long a call may take: 2 s. Then it has to fail.
pub const CALL_DEADLINE: Duration = Duration::from_secs(2);

/// Where the state of rollouts lives: one document per key, and its last events.
///
/// What a store promises, and how to write one, is told in the [module's docs](super). The futures
/// need a Tokio runtime with time enabled.
pub trait StateStore: fmt::Debug + Send + Sync + 'static {
    /// Reads the document of a key, or `None` if there is none.
    ///
    /// It sees every swap that was acknowledged before the call, by whichever process (S1).
    ///
    /// # Errors
    ///
    /// [`Unavailable`](StoreError::Unavailable), [`Refused`](StoreError::Refused), or
    /// [`Corrupt`](StoreError::Corrupt) if what is there is no document; never
    /// [`Unknown`](StoreError::Unknown).
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>>;

    /// Stores a document if the key has the `expected` revision, or no document if `None` is
    /// expected (S2, S3). A conflict carries what is there instead (S4).
    ///
    /// Once it is acknowledged the document survives the crash of any process (S7). Dropping the
    /// future leaves open whether the swap is made, like [`StoreError::Unknown`].
    ///
    /// # Errors
    ///
    /// Any of [`StoreError`]. Only after [`Unknown`](StoreError::Unknown) the document may have
    /// been stored, or may be stored yet; [`settle`](super::settle()) finds out.
    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap>;

    /// Follows the document of a key.
    ///
    /// See [`WatchEvent`](super::WatchEvent) for what it gives. Dropping the watch ends it.
    fn watch(&self, key: &StoreKey) -> DocumentWatch;

    /// Adds an event to the history of a key, which need not have a document.
    ///
    /// An event is behind those that were acknowledged before the call. Once it is acknowledged it
    /// survives like a document does (S12).
    ///
    /// # Errors
    ///
    /// [`Unavailable`](StoreError::Unavailable), [`Unknown`](StoreError::Unknown) or
    /// [`Refused`](StoreError::Refused).
    fn append_event<'a>(&'a self, key: &'a StoreKey, event: &'a EventRecord)
    -> StoreFuture<'a, ()>;

    /// Reads the last events of a key, `most` of them if there are so many, the oldest first.
    ///
    /// # Errors
    ///
    /// [`Unavailable`](StoreError::Unavailable) or [`Refused`](StoreError::Refused).
    fn events<'a>(&'a self, key: &'a StoreKey, most: usize) -> StoreFuture<'a, Vec<EventRecord>>;
}
