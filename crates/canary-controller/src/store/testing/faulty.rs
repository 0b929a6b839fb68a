use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use crate::store::{
    Document, DocumentWatch, EventRecord, Revision, StateStore, StoreError, StoreFuture, StoreKey,
    Swap, Versioned,
};

/// A store that fails on demand, for tests of code that uses a store.
///
/// Each queued fault affects one call of [`load`](StateStore::load),
/// [`compare_and_swap`](StateStore::compare_and_swap) or
/// [`append_event`](StateStore::append_event), in order. All other calls go to the inner store.
/// Clones share the queue.
///
/// ```
/// use canary_controller::store::{
///     MemoryStore, Retry, StateStore,
///     testing::{StoreFault, FaultyStore, key},
/// };
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = FaultyStore::new(MemoryStore::new());
/// store.fail_next(StoreFault::Unavailable);
/// assert_eq!(store.load(&key("checkout")).await.unwrap_err().retry(), Retry::Later);
/// assert_eq!(store.load(&key("checkout")).await.unwrap(), None);
/// # });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct FaultyStore<S> {
    inner: S,
    faults: Arc<Mutex<VecDeque<StoreFault>>>,
}

/// A fault of a [`FaultyStore`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoreFault {
    /// The store is unavailable. Nothing is changed.
    Unavailable,
    /// The request is lost. Nothing is changed, and the outcome is unknown to the caller.
    RequestLost,
    /// The response is lost. The change is made, and the outcome is unknown to the caller. A load
    /// returns `Unavailable`.
    ResponseLost,
}

impl<S> FaultyStore<S> {
    /// Wraps a store.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner, faults: Arc::default() }
    }

    /// Queues a fault for the next call without one.
    pub fn fail_next(&self, fault: StoreFault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    /// Returns the inner store.
    #[must_use]
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    fn fault(&self) -> Option<StoreFault> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Makes a change, subject to the fault.
async fn change<T>(
    fault: Option<StoreFault>,
    operation: String,
    work: StoreFuture<'_, T>,
) -> Result<T, StoreError> {
    match fault {
        None => work.await,
        Some(StoreFault::Unavailable) => Err(StoreError::unavailable(operation, "injected fault")),
        Some(StoreFault::RequestLost) => Err(StoreError::unknown(operation, "injected fault")),
        Some(StoreFault::ResponseLost) => {
            work.await?;
            Err(StoreError::unknown(operation, "injected fault"))
        }
    }
}

impl<S: StateStore> StateStore for FaultyStore<S> {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        Box::pin(async move {
            match self.fault() {
                None => self.inner.load(key).await,
                Some(_) => Err(StoreError::unavailable(format!("load {key}"), "injected fault")),
            }
        })
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        Box::pin(async move {
            let swap = self.inner.compare_and_swap(key, expected, document);
            change(self.fault(), format!("swap {key}"), swap).await
        })
    }

    fn watch(&self, key: &StoreKey) -> DocumentWatch {
        self.inner.watch(key)
    }

    fn append_event<'a>(
        &'a self,
        key: &'a StoreKey,
        event: &'a EventRecord,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let append = self.inner.append_event(key, event);
            change(self.fault(), format!("append an event to {key}"), append).await
        })
    }

    fn events<'a>(&'a self, key: &'a StoreKey, limit: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        self.inner.events(key, limit)
    }
}
