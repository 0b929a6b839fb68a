use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use crate::store::{
    Document, DocumentWatch, EventRecord, Revision, StateStore, StoreError, StoreFuture, StoreKey,
    Swap, Versioned,
};

/// A store that fails when it is told to: to test what stands on a store.
///
/// Faults meet the next calls of [`load`](StateStore::load),
/// [`compare_and_swap`](StateStore::compare_and_swap) and
/// [`append_event`](StateStore::append_event), one each, in their order. Clones share them. All
/// else passes to the store inside.
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

/// How a call of a [`FaultyStore`] fails.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoreFault {
    /// The store is out of reach; nothing is done.
    Unavailable,
    /// The question is lost: nothing is done, and the caller cannot know.
    RequestLost,
    /// The answer is lost: it is done, and the caller cannot know. A load is just out of reach.
    ResponseLost,
}

impl<S> FaultyStore<S> {
    /// Wraps a store.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner, faults: Arc::default() }
    }

    /// Lets a call fail: the next one that no earlier fault is meant for.
    pub fn fail_next(&self, fault: StoreFault) {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).push_back(fault);
    }

    /// The store inside.
    #[must_use]
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    fn fault(&self) -> Option<StoreFault> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }
}

/// Does a change, or not, or does not tell.
async fn change<T>(
    fault: Option<StoreFault>,
    asked: String,
    work: StoreFuture<'_, T>,
) -> Result<T, StoreError> {
    match fault {
        None => work.await,
        Some(StoreFault::Unavailable) => Err(StoreError::unavailable(asked, "a fault on demand")),
        Some(StoreFault::RequestLost) => Err(StoreError::unknown(asked, "a fault on demand")),
        Some(StoreFault::ResponseLost) => {
            work.await?;
            Err(StoreError::unknown(asked, "a fault on demand"))
        }
    }
}

impl<S: StateStore> StateStore for FaultyStore<S> {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        Box::pin(async move {
            match self.fault() {
                None => self.inner.load(key).await,
                Some(_) => Err(StoreError::unavailable(format!("load {key}"), "a fault on demand")),
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

    fn events<'a>(&'a self, key: &'a StoreKey, most: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        self.inner.events(key, most)
    }
}
