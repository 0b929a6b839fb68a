use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use canary_controller::store::{
    Document, DocumentWatch, EventRecord, KeyRange, Listed, Removal, Revision, StateStore,
    StoreFuture, StoreKey, Swap, Versioned,
};

/// The writes of a fleet.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    entries: Writes,
    others: Writes,
}

#[derive(Debug, Default)]
struct Writes {
    count: AtomicU64,
    bytes: AtomicU64,
}

impl Traffic {
    /// Returns the number of published entries of the board, and their bytes.
    pub(crate) fn entries(&self) -> (u64, u64) {
        self.entries.get()
    }

    /// Returns the number of all other written documents and events, and their bytes.
    pub(crate) fn others(&self) -> (u64, u64) {
        self.others.get()
    }
}

impl Writes {
    fn add(&self, text: &str) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.bytes.fetch_add(text.len() as u64, Ordering::Relaxed);
    }

    fn get(&self) -> (u64, u64) {
        (self.count.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed))
    }
}

/// A store that counts its writes.
#[derive(Debug)]
pub(crate) struct CountingStore {
    inner: Box<dyn StateStore>,
    traffic: Arc<Traffic>,
}

impl CountingStore {
    pub(crate) fn new(inner: Box<dyn StateStore>, traffic: Arc<Traffic>) -> Self {
        Self { inner, traffic }
    }
}

impl StateStore for CountingStore {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        self.inner.load(key)
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        let is_entry = key.as_str().contains("/v1/board/");
        let writes = if is_entry { &self.traffic.entries } else { &self.traffic.others };
        writes.add(document.as_str());
        self.inner.compare_and_swap(key, expected, document)
    }

    fn remove<'a>(&'a self, key: &'a StoreKey, expected: &'a Revision) -> StoreFuture<'a, Removal> {
        self.inner.remove(key, expected)
    }

    fn list<'a>(&'a self, range: &'a KeyRange) -> StoreFuture<'a, Vec<Listed>> {
        self.inner.list(range)
    }

    fn watch(&self, key: &StoreKey) -> DocumentWatch {
        self.inner.watch(key)
    }

    fn append_event<'a>(
        &'a self,
        key: &'a StoreKey,
        event: &'a EventRecord,
    ) -> StoreFuture<'a, ()> {
        self.traffic.others.add(event.as_str());
        self.inner.append_event(key, event)
    }

    fn events<'a>(&'a self, key: &'a StoreKey, limit: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        self.inner.events(key, limit)
    }
}
