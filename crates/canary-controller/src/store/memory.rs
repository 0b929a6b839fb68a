use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::watch;

use super::{
    Document, DocumentWatch, EventRecord, Revision, StateStore, StoreError, StoreFuture, StoreKey,
    Swap, Versioned, WatchSource,
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
    entries: Arc<Mutex<HashMap<StoreKey, Entry>>>,
}

struct Entry {
    current: watch::Sender<Option<Versioned>>,
    events: VecDeque<EventRecord>,
    swaps: u64,
}

impl MemoryStore {
    /// Creates an empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn with<T>(&self, key: &StoreKey, work: impl FnOnce(&mut Entry) -> T) -> T {
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        work(entries.entry(key.clone()).or_insert_with(|| Entry {
            current: watch::Sender::new(None),
            events: VecDeque::new(),
            swaps: 0,
        }))
    }
}

impl StateStore for MemoryStore {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        Box::pin(async move { Ok(self.with(key, |entry| entry.current.borrow().clone())) })
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        let swap = move |entry: &mut Entry| {
            let current = entry.current.borrow().clone();
            if current.as_ref().map(|it| &it.revision) != expected {
                return Swap::Conflict(current);
            }
            entry.swaps += 1;
            let revision = Revision::new(entry.swaps.to_string());
            let document = document.clone();
            entry.current.send_replace(Some(Versioned { revision: revision.clone(), document }));
            Swap::Done(revision)
        };
        Box::pin(async move { Ok(self.with(key, swap)) })
    }

    fn watch(&self, key: &StoreKey) -> DocumentWatch {
        let current = self.with(key, |entry| entry.current.subscribe());
        DocumentWatch::new(MemoryWatchSource { current, _store: self.clone() })
    }

    fn append_event<'a>(
        &'a self,
        key: &'a StoreKey,
        event: &'a EventRecord,
    ) -> StoreFuture<'a, ()> {
        let append = move |entry: &mut Entry| {
            if entry.events.len() == EventRecord::MIN_KEPT {
                entry.events.pop_front();
            }
            entry.events.push_back(event.clone());
        };
        Box::pin(async move {
            self.with(key, append);
            Ok(())
        })
    }

    fn events<'a>(&'a self, key: &'a StoreKey, limit: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        let last = move |entry: &mut Entry| {
            let skipped = entry.events.len().saturating_sub(limit);
            entry.events.iter().skip(skipped).cloned().collect()
        };
        Box::pin(async move { Ok(self.with(key, last)) })
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
