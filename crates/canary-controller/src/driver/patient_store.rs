use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::store::{
    CALL_DEADLINE, Document, DocumentWatch, EventRecord, KeyRange, Listed, Removal, Retry,
    Revision, StateStore, StoreError, StoreFuture, StoreKey, Swap, Versioned,
};

/// A store that takes little time from its driver, however slow the inner store is.
///
/// Each call has a time limit. After one that the inner store has not answered in time, the next calls
/// fail at once, until the driver [tries again](Self::try_again) on its next tick, or for a later
/// [request](Self::try_again_for). A tick makes several calls, and a store that hangs would delay the
/// judge, commands and other ticks by the limits of all of them.
pub(super) struct PatientStore {
    inner: Arc<dyn StateStore>,
    /// The time of the latest call that was not answered in time, until calls are made again.
    tired_at: Mutex<Option<Instant>>,
}

/// Whether a call that was not answered may have changed the store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Read,
    Change,
}

impl PatientStore {
    pub(super) fn new(inner: Arc<dyn StateStore>) -> Self {
        Self { inner, tired_at: Mutex::new(None) }
    }

    /// Makes calls again.
    pub(super) fn try_again(&self) {
        *self.tired_at() = None;
    }

    /// Makes calls again for a request that was made after the call without an answer: the store may
    /// work again. Requests that have waited for that call do not wait for another one.
    pub(super) fn try_again_for(&self, requested_at: Instant) {
        let mut tired_at = self.tired_at();
        *tired_at = tired_at.filter(|tired_at| requested_at <= *tired_at);
    }

    fn tired_at(&self) -> MutexGuard<'_, Option<Instant>> {
        self.tired_at.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn call<T>(
        &self,
        kind: Kind,
        operation: impl Fn() -> String,
        call: StoreFuture<'_, T>,
    ) -> Result<T, StoreError> {
        if self.tired_at().is_some() {
            return Err(StoreError::unavailable(operation(), TIRED));
        }
        let began = Instant::now();
        let result = timeout(CALL_TIMEOUT, call).await.unwrap_or_else(|elapsed| match kind {
            Kind::Read => Err(StoreError::unavailable(operation(), elapsed)),
            Kind::Change => Err(StoreError::unknown(operation(), elapsed)),
        });
        let is_refused = |error: &StoreError| error.retry() == Retry::Never;
        if result.as_ref().is_err_and(|error| !is_refused(error)) && began.elapsed() >= SLOW {
            *self.tired_at() = Some(Instant::now());
        }
        result
    }
}

impl StateStore for PatientStore {
    fn location(&self, key: &StoreKey) -> String {
        self.inner.location(key)
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        Box::pin(self.call(Kind::Read, move || format!("load {key}"), self.inner.load(key)))
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        let swap = self.inner.compare_and_swap(key, expected, document);
        Box::pin(self.call(Kind::Change, move || format!("swap {key}"), swap))
    }

    fn remove<'a>(&'a self, key: &'a StoreKey, expected: &'a Revision) -> StoreFuture<'a, Removal> {
        let remove = self.inner.remove(key, expected);
        Box::pin(self.call(Kind::Change, move || format!("remove {key}"), remove))
    }

    fn list<'a>(&'a self, range: &'a KeyRange) -> StoreFuture<'a, Vec<Listed>> {
        Box::pin(self.call(Kind::Read, move || format!("list {range}"), self.inner.list(range)))
    }

    fn watch(&self, key: &StoreKey) -> DocumentWatch {
        self.inner.watch(key)
    }

    fn append_event<'a>(
        &'a self,
        key: &'a StoreKey,
        event: &'a EventRecord,
    ) -> StoreFuture<'a, ()> {
        let append = self.inner.append_event(key, event);
        Box::pin(self.call(Kind::Change, move || format!("append an event to {key}"), append))
    }

    fn events<'a>(&'a self, key: &'a StoreKey, limit: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        let events = self.inner.events(key, limit);
        Box::pin(self.call(Kind::Read, move || format!("list the events of {key}"), events))
    }
}

impl fmt::Debug for PatientStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

const TIRED: &str = "it did not answer the call before in time";

/// A little more than the time that a store has for a call, in case it breaks its contract.
const CALL_TIMEOUT: Duration = CALL_DEADLINE.saturating_add(Duration::from_millis(500));

/// A call that fails later than this was waiting for the store.
const SLOW: Duration = Duration::from_secs(1);
