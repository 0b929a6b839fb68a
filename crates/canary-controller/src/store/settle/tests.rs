use super::*;
use crate::store::{
    DocumentWatch, EventRecord, KeyRange, Listed, MemoryStore, Removal, StoreFuture, WatchEvent,
    testing::{FaultyStore, StoreFault, key},
};

fn document(ops: &str) -> Document {
    Document::try_new(format!(r#"{{"op_ids":"{ops}"}}"#)).unwrap()
}

fn has(op: &'static str) -> impl Fn(&Document) -> bool + Send + Sync {
    move |document| document.as_str().contains(op)
}

/// Returns a store that holds a document with operation `a`, and its revision.
async fn store_with_document() -> (FaultyStore<MemoryStore>, StoreKey, Revision) {
    let (store, key) = (FaultyStore::new(MemoryStore::new()), key("settle"));
    let Swap::Done(revision) = store.compare_and_swap(&key, None, &document("a")).await.unwrap()
    else {
        panic!("the store is empty")
    };
    (store, key, revision)
}

#[tokio::test]
async fn a_swap_whose_response_was_lost_is_made_once() {
    let (store, key, first) = store_with_document().await;
    store.fail_next(StoreFault::ResponseLost);
    let next = document("a b");
    let settled = settle(&store, &key, Some(&first), &next, has("b")).await.unwrap();
    let current = store.load(&key).await.unwrap().unwrap();
    assert_eq!(settled, Settled::Done(current.revision));
    assert_eq!(current.document, next);
}

#[tokio::test]
async fn a_swap_whose_request_was_lost_is_repeated() {
    let (store, key, first) = store_with_document().await;
    store.fail_next(StoreFault::RequestLost);
    let next = document("a b");
    let settled = settle(&store, &key, Some(&first), &next, has("b")).await.unwrap();
    let current = store.load(&key).await.unwrap().unwrap();
    assert_eq!((settled, current.document), (Settled::Done(current.revision), next));
}

#[tokio::test]
async fn a_swap_overtaken_by_another_writer_is_a_conflict() {
    let (store, key, first) = store_with_document().await;
    let other = document("a c");
    let _ = store.compare_and_swap(&key, Some(&first), &other).await.unwrap();
    let current = store.load(&key).await.unwrap();
    for fault in [None, Some(StoreFault::RequestLost), Some(StoreFault::ResponseLost)] {
        fault.into_iter().for_each(|fault| store.fail_next(fault));
        let settled = settle(&store, &key, Some(&first), &document("a b"), has("b")).await;
        assert_eq!(settled.unwrap(), Settled::Conflict(current.clone()), "{fault:?}");
    }
}

#[tokio::test]
async fn an_outcome_that_stays_unknown_is_resolved_by_calling_settle_again() {
    for faults in [
        &[StoreFault::ResponseLost, StoreFault::Unavailable][..],
        &[StoreFault::RequestLost, StoreFault::Unavailable],
        &[StoreFault::RequestLost; 2],
    ] {
        let (store, key, first) = store_with_document().await;
        faults.iter().for_each(|fault| store.fail_next(*fault));
        let settled = settle(&store, &key, Some(&first), &document("a b"), has("b")).await;
        assert!(matches!(settled, Err(StoreError::Unknown { .. })), "{faults:?}: {settled:?}");
        let settled = settle(&store, &key, Some(&first), &document("a b"), has("b")).await.unwrap();
        let current = store.load(&key).await.unwrap().unwrap();
        assert_eq!(settled, Settled::Done(current.revision), "{faults:?}");
        assert_eq!(current.document, document("a b"));
    }
}

#[tokio::test]
async fn definite_errors_are_returned_unchanged() {
    let (store, key, first) = store_with_document().await;
    store.fail_next(StoreFault::Unavailable);
    let settled = settle(&store, &key, Some(&first), &document("a b"), has("b")).await;
    assert!(matches!(settled, Err(StoreError::Unavailable { .. })), "{settled:?}");
    assert_eq!(store.load(&key).await.unwrap().unwrap().document, document("a"));
}

/// A store that makes a swap, replaces the document as another writer would, and loses the
/// response.
#[derive(Debug)]
struct OvertakenStore(MemoryStore);

impl StateStore for OvertakenStore {
    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        self.0.load(key)
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        Box::pin(async move {
            let Swap::Done(first) = self.0.compare_and_swap(key, expected, document).await? else {
                panic!("there are no other writers")
            };
            let other = self::document("b c");
            let _ = self.0.compare_and_swap(key, Some(&first), &other).await?;
            Err(StoreError::unknown("swap", "the response was lost"))
        })
    }

    fn remove<'a>(&'a self, key: &'a StoreKey, expected: &'a Revision) -> StoreFuture<'a, Removal> {
        self.0.remove(key, expected)
    }

    fn list<'a>(&'a self, range: &'a KeyRange) -> StoreFuture<'a, Vec<Listed>> {
        self.0.list(range)
    }

    fn watch(&self, key: &StoreKey) -> DocumentWatch {
        self.0.watch(key)
    }

    fn append_event<'a>(
        &'a self,
        key: &'a StoreKey,
        event: &'a EventRecord,
    ) -> StoreFuture<'a, ()> {
        self.0.append_event(key, event)
    }

    fn events<'a>(&'a self, key: &'a StoreKey, limit: usize) -> StoreFuture<'a, Vec<EventRecord>> {
        self.0.events(key, limit)
    }
}

#[tokio::test]
async fn a_swap_replaced_by_another_writer_is_recognized_by_its_id() {
    let (store, key) = (OvertakenStore(MemoryStore::new()), key("overtaken"));
    let settled = settle(&store, &key, None, &document("b"), has("b")).await.unwrap();
    let Settled::Overtaken(current) = settled else { panic!("the swap was made: {settled:?}") };
    assert_eq!(current.document, document("b c"));
    assert_eq!(store.watch(&key).next().await, WatchEvent::Value(current));
}
