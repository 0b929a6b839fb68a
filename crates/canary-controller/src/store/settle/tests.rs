use super::*;
use crate::store::{
    DocumentWatch, MemoryStore, StoreFuture, WatchEvent,
    testing::{FaultyStore, StoreFault, key},
};

fn document(ops: &str) -> Document {
    Document::try_new(format!(r#"{{"op_ids":"{ops}"}}"#)).unwrap()
}

fn has(op: &'static str) -> impl Fn(&Document) -> bool + Send + Sync {
    move |document| document.as_str().contains(op)
}

/// A store with a document of operation `a`, at this revision.
async fn begun() -> (FaultyStore<MemoryStore>, StoreKey, Revision) {
    let (store, key) = (FaultyStore::new(MemoryStore::new()), key("settle"));
    let Swap::Done(revision) = store.compare_and_swap(&key, None, &document("a")).await.unwrap()
    else {
        panic!("it is empty")
    };
    (store, key, revision)
}

#[tokio::test]
async fn a_swap_whose_answer_was_lost_is_found_and_made_once() {
    let (store, key, first) = begun().await;
    store.fail_next(StoreFault::ResponseLost);
    let next = document("a b");
    let settled = settle(&store, &key, Some(&first), &next, has("b")).await.unwrap();
    let current = store.load(&key).await.unwrap().unwrap();
    assert_eq!(settled, Settled::Done(current.revision));
    assert_eq!(current.document, next);
}

#[tokio::test]
async fn a_swap_whose_question_was_lost_is_asked_again() {
    let (store, key, first) = begun().await;
    store.fail_next(StoreFault::RequestLost);
    let next = document("a b");
    let settled = settle(&store, &key, Some(&first), &next, has("b")).await.unwrap();
    let current = store.load(&key).await.unwrap().unwrap();
    assert_eq!((settled, current.document), (Settled::Done(current.revision), next));
}

#[tokio::test]
async fn a_swap_that_was_not_made_is_a_conflict() {
    let (store, key, first) = begun().await;
    let theirs = document("a c");
    let _ = store.compare_and_swap(&key, Some(&first), &theirs).await.unwrap();
    let current = store.load(&key).await.unwrap();
    for fault in [None, Some(StoreFault::RequestLost), Some(StoreFault::ResponseLost)] {
        fault.into_iter().for_each(|fault| store.fail_next(fault));
        let settled = settle(&store, &key, Some(&first), &document("a b"), has("b")).await;
        assert_eq!(settled.unwrap(), Settled::Conflict(current.clone()), "{fault:?}");
    }
}

#[tokio::test]
async fn what_stays_unknown_is_said_to_be() {
    for faults in [
        &[StoreFault::ResponseLost, StoreFault::Unavailable][..],
        &[StoreFault::RequestLost, StoreFault::Unavailable],
        &[StoreFault::RequestLost; 2],
    ] {
        let (store, key, first) = begun().await;
        faults.iter().for_each(|fault| store.fail_next(*fault));
        let settled = settle(&store, &key, Some(&first), &document("a b"), has("b")).await;
        assert!(matches!(settled, Err(StoreError::Unknown { .. })), "{faults:?}: {settled:?}");
        // As the docs say: with the same arguments again it is found out.
        let settled = settle(&store, &key, Some(&first), &document("a b"), has("b")).await.unwrap();
        let current = store.load(&key).await.unwrap().unwrap();
        assert_eq!(settled, Settled::Done(current.revision), "{faults:?}");
        assert_eq!(current.document, document("a b"));
    }
}

#[tokio::test]
async fn what_fails_with_certainty_is_passed_on() {
    let (store, key, first) = begun().await;
    store.fail_next(StoreFault::Unavailable);
    let settled = settle(&store, &key, Some(&first), &document("a b"), has("b")).await;
    assert!(matches!(settled, Err(StoreError::Unavailable { .. })), "{settled:?}");
    assert_eq!(store.load(&key).await.unwrap().unwrap().document, document("a"));
}

/// A store whose first swap is made, overtaken by another's, and its answer lost.
#[derive(Debug)]
struct Overtaking(MemoryStore);

impl StateStore for Overtaking {
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
            let Swap::Done(ours) = self.0.compare_and_swap(key, expected, document).await? else {
                panic!("nobody was before")
            };
            let theirs = self::document("b c");
            let _ = self.0.compare_and_swap(key, Some(&ours), &theirs).await?;
            Err(StoreError::unknown("swap", "the answer is lost"))
        })
    }

    fn watch(&self, key: &StoreKey) -> DocumentWatch {
        self.0.watch(key)
    }

    fn append_event<'a>(
        &'a self,
        key: &'a StoreKey,
        event: &'a crate::store::EventRecord,
    ) -> StoreFuture<'a, ()> {
        self.0.append_event(key, event)
    }

    fn events<'a>(
        &'a self,
        key: &'a StoreKey,
        most: usize,
    ) -> StoreFuture<'a, Vec<crate::store::EventRecord>> {
        self.0.events(key, most)
    }
}

#[tokio::test]
async fn a_swap_that_others_wrote_over_is_found_by_its_id() {
    let (store, key) = (Overtaking(MemoryStore::new()), key("overtaken"));
    let settled = settle(&store, &key, None, &document("b"), has("b")).await.unwrap();
    let Settled::Overtaken(current) = settled else { panic!("it was made: {settled:?}") };
    assert_eq!(current.document, document("b c"));
    assert_eq!(store.watch(&key).next().await, WatchEvent::Value(current));
}
