use std::{
    collections::VecDeque,
    future::pending,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::sleep;

use crate::store::{
    Document, DocumentWatch, EventRecord, KeyRange, Listed, Removal, Revision, StateStore,
    StoreError, StoreFuture, StoreKey, Swap, Versioned,
};

/// A store that fails on demand, for tests of code that uses a store.
///
/// Faults affect [`load`](StateStore::load) and [`list`](StateStore::list), and the changes:
/// [`compare_and_swap`](StateStore::compare_and_swap), [`remove`](StateStore::remove) and
/// [`append_event`](StateStore::append_event). All other calls go to the inner store. Clones share
/// their faults.
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
    faults: Arc<Mutex<Faults>>,
}

#[derive(Debug, Default)]
struct Faults {
    /// One for each of the next calls.
    next: VecDeque<StoreFault>,
    /// For the changes with these numbers.
    of_changes: Option<(Range<usize>, StoreFault)>,
    /// For all other calls.
    permanent: Option<StoreFault>,
    key_part: Option<String>,
    delay: Duration,
    /// The number of changes so far.
    changes: usize,
}

/// A fault of a [`FaultyStore`].
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum StoreFault {
    /// The store is unavailable. Nothing is changed.
    Unavailable,
    /// The request is lost. Nothing is changed, and the outcome is unknown to the caller. A load
    /// or list returns `Unavailable`.
    RequestLost,
    /// The response is lost. The change is made, and the outcome is unknown to the caller. A load
    /// or list returns `Unavailable`.
    ResponseLost,
    /// The call never returns. Nothing is changed.
    Hang,
    /// The change is made, and the call never returns.
    HangAfterChange,
    /// The store refuses the call. Nothing is changed.
    Refused,
    /// The stored document is corrupt. Nothing is changed.
    Corrupt,
}

impl<S> FaultyStore<S> {
    /// Wraps a store.
    #[must_use]
    pub fn new(inner: S) -> Self {
        Self { inner, faults: Arc::default() }
    }

    /// Queues a fault for the next call without one.
    pub fn fail_next(&self, fault: StoreFault) {
        self.faults().next.push_back(fault);
    }

    /// Fails the changes with these numbers, counted from 0. See [`changes`](Self::changes).
    pub fn fail_changes(&self, numbers: Range<usize>, fault: StoreFault) {
        self.faults().of_changes = Some((numbers, fault));
    }

    /// Fails all calls until [`recover`](Self::recover).
    pub fn fail_all(&self, fault: StoreFault) {
        self.faults().permanent = Some(fault);
    }

    /// Ends [`fail_all`](Self::fail_all).
    pub fn recover(&self) {
        self.faults().permanent = None;
    }

    /// Fails and counts only the changes of keys that contain `part`.
    pub fn only_keys_with(&self, part: &str) {
        self.faults().key_part = Some(part.to_owned());
    }

    /// Delays all calls that can fail.
    pub fn delay(&self, delay: Duration) {
        self.faults().delay = delay;
    }

    /// Returns the number of changes that were requested, including those that failed.
    #[must_use]
    pub fn changes(&self) -> usize {
        self.faults().changes
    }

    /// Returns the inner store.
    #[must_use]
    pub const fn inner(&self) -> &S {
        &self.inner
    }

    fn faults(&self) -> MutexGuard<'_, Faults> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a call, subject to the fault.
    async fn call<T>(
        &self,
        fault: Option<StoreFault>,
        operation: String,
        work: StoreFuture<'_, T>,
    ) -> Result<T, StoreError> {
        let delay = self.faults().delay;
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let cause = "injected fault";
        match fault {
            None => work.await,
            Some(StoreFault::Unavailable) => Err(StoreError::unavailable(operation, cause)),
            Some(StoreFault::RequestLost) => Err(StoreError::unknown(operation, cause)),
            Some(StoreFault::ResponseLost) => {
                work.await?;
                Err(StoreError::unknown(operation, cause))
            }
            Some(StoreFault::Hang) => pending().await,
            Some(StoreFault::HangAfterChange) => {
                work.await?;
                pending().await
            }
            Some(StoreFault::Refused) => Err(StoreError::refused(operation, cause)),
            Some(StoreFault::Corrupt) => Err(StoreError::corrupt(operation, cause)),
        }
    }
}

impl Faults {
    fn of_load(&mut self) -> Option<StoreFault> {
        match self.next.pop_front().or(self.permanent) {
            Some(StoreFault::RequestLost | StoreFault::ResponseLost) => {
                Some(StoreFault::Unavailable)
            }
            fault => fault,
        }
    }

    fn of_change(&mut self, key: &StoreKey) -> Option<StoreFault> {
        if self.key_part.as_ref().is_some_and(|part| !key.as_str().contains(part)) {
            return None;
        }
        let number = self.changes;
        self.changes += 1;
        let of_changes = self.of_changes.as_ref().filter(|(numbers, _)| numbers.contains(&number));
        self.next.pop_front().or(of_changes.map(|(_, fault)| *fault)).or(self.permanent)
    }
}

impl<S: StateStore> StateStore for FaultyStore<S> {
    fn location(&self, key: &StoreKey) -> String {
        self.inner.location(key)
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        Box::pin(async move {
            let fault = self.faults().of_load();
            self.call(fault, format!("load {key}"), self.inner.load(key)).await
        })
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        Box::pin(async move {
            let fault = self.faults().of_change(key);
            let swap = self.inner.compare_and_swap(key, expected, document);
            self.call(fault, format!("swap {key}"), swap).await
        })
    }

    fn remove<'a>(&'a self, key: &'a StoreKey, expected: &'a Revision) -> StoreFuture<'a, Removal> {
        Box::pin(async move {
            let fault = self.faults().of_change(key);
            self.call(fault, format!("remove {key}"), self.inner.remove(key, expected)).await
        })
    }

    fn list<'a>(&'a self, range: &'a KeyRange) -> StoreFuture<'a, Vec<Listed>> {
        Box::pin(async move {
            let fault = self.faults().of_load();
            self.call(fault, format!("list {range}"), self.inner.list(range)).await
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
            let fault = self.faults().of_change(key);
            let append = self.inner.append_event(key, event);
            self.call(fault, format!("append an event to {key}"), append).await
        })
    }

    fn events<'a>(&'a self, key: &'a StoreKey, limit: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        self.inner.events(key, limit)
    }
}
