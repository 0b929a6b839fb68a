use std::{
    collections::{BTreeMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{
    Document, DocumentWatch, EventRecord, KeyRange, Listed, Removal, Revision, StateStore,
    StoreError, StoreFuture, StoreKey, Swap, Versioned, WatchSource,
};

/// A [`StateStore`] in memory, for tests and for services that start at weight zero after every
/// restart.
///
/// Clones share one state. Dropping the last clone loses the state: nothing is durable (S7).
///
/// # Example
///
/// ```
/// use canary_controller::store::{Document, MemoryStore, StateStore, StoreKey, Swap};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let store = MemoryStore::new();
/// let key = StoreKey::try_new("prod", &"checkout".parse()?)?;
/// let first = Document::try_new(r#"{"generation":1}"#)?;
///
/// let Swap::Done(_) = store.compare_and_swap(&key, None, &first).await? else { panic!() };
/// let Swap::Conflict(Some(current)) = store.compare_and_swap(&key, None, &first).await? else {
///     panic!()
/// };
/// assert_eq!(current.document, first);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Default)]
pub struct MemoryStore {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<StoreKey, Entry>,
    /// The number of swaps of all keys, so that a revision is not reused after a removal.
    swaps: u64,
}

#[derive(Default)]
struct Entry {
    current: watch::Sender<Option<Versioned>>,
    events: VecDeque<EventRecord>,
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn current(&self, key: &StoreKey) -> Option<Versioned> {
        self.entries.get(key).and_then(|entry| entry.current.borrow().clone())
    }

    fn swap(&mut self, key: &StoreKey, expected: Option<&Revision>, document: &Document) -> Swap {
        let current = self.current(key);
        if current.as_ref().map(|it| &it.revision) != expected {
            return Swap::Conflict(current);
        }
        self.swaps += 1;
        let revision = Revision::new(self.swaps.to_string());
        let next = Versioned { revision: revision.clone(), document: document.clone() };
        self.entries.entry(key.clone()).or_default().current.send_replace(Some(next));
        Swap::Done(revision)
    }

    fn remove(&mut self, key: &StoreKey, expected: &Revision) -> Removal {
        let current = self.current(key);
        if current.as_ref().map(|it| &it.revision) != Some(expected) {
            return Removal::Conflict(current);
        }
        if let Some(entry) = self.entries.get(key) {
            entry.current.send_replace(None);
            if entry.events.is_empty() && entry.current.is_closed() {
                self.entries.remove(key);
            }
        }
        Removal::Done
    }

    fn list(&self, range: &KeyRange) -> Vec<Listed> {
        // Not all entries: each driver lists its board every two seconds.
        let documents = self.entries.range(range.first()..);
        let documents = documents.take_while(|(key, _)| key.as_str().starts_with(range.as_str()));
        let documents = documents.filter(|(key, _)| range.contains(key));
        let documents = documents.filter_map(|(key, entry)| {
            let document = Ok(entry.current.borrow().clone()?);
            Some(Listed { key: key.clone(), document })
        });
        documents.collect()
    }

    fn append(&mut self, key: &StoreKey, event: EventRecord) {
        let events = &mut self.entries.entry(key.clone()).or_default().events;
        if events.len() == EventRecord::MIN_KEPT {
            events.pop_front();
        }
        events.push_back(event);
    }

    fn events(&self, key: &StoreKey, limit: usize) -> Vec<EventRecord> {
        let Some(Entry { events, .. }) = self.entries.get(key) else { return Vec::new() };
        events.iter().skip(events.len().saturating_sub(limit)).cloned().collect()
    }
}

impl StateStore for MemoryStore {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        Box::pin(async move { Ok(self.state().current(key)) })
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        Box::pin(async move { Ok(self.state().swap(key, expected, document)) })
    }

    fn remove<'a>(&'a self, key: &'a StoreKey, expected: &'a Revision) -> StoreFuture<'a, Removal> {
        Box::pin(async move { Ok(self.state().remove(key, expected)) })
    }

    fn list<'a>(&'a self, range: &'a KeyRange) -> StoreFuture<'a, Vec<Listed>> {
        Box::pin(async move { Ok(self.state().list(range)) })
    }

    fn watch(&self, key: &StoreKey) -> DocumentWatch {
        let current = self.state().entries.entry(key.clone()).or_default().current.subscribe();
        DocumentWatch::new(MemoryWatchSource { current, _store: self.clone() })
    }

    fn append_event<'a>(
        &'a self,
        key: &'a StoreKey,
        event: &'a EventRecord,
    ) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            self.state().append(key, event.clone());
            Ok(())
        })
    }

    fn events<'a>(&'a self, key: &'a StoreKey, limit: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        Box::pin(async move { Ok(self.state().events(key, limit)) })
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

struct MemoryWatchSource {
    current: watch::Receiver<Option<Versioned>>,
    /// Keeps the sender alive after all other handles of the store were dropped (S11).
    _store: MemoryStore,
}

impl WatchSource for MemoryWatchSource {
    fn load(&mut self) -> StoreFuture<'_, Option<Versioned>> {
        Box::pin(async { Ok(self.current.borrow_and_update().clone()) })
    }

    fn changed(&mut self) -> StoreFuture<'_, ()> {
        Box::pin(async {
            let changed = self.current.changed().await;
            changed.map_err(|error| StoreError::unavailable("wait for a change", error))
        })
    }
}
