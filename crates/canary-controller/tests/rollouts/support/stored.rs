//! The documents of canary `shop` in a store.

use canary_controller::store::{
    Document, MemoryStore, Revision, StateStore, StoreKey, Swap,
    testing::{FaultyStore, StoreFault},
};
use canary_core::Weight;
use canary_rollout::{Phase, Rollout, event::Event};

pub(crate) type TestStore = FaultyStore<MemoryStore>;

pub(crate) fn test_store() -> TestStore {
    FaultyStore::new(MemoryStore::new())
}

/// Another client of the same store, with faults of its own.
pub(crate) fn another_connection(store: &TestStore) -> TestStore {
    FaultyStore::new(store.inner().clone())
}

/// Lets no replica of this client publish its counts. Everything else works.
pub(crate) fn fail_board(store: &TestStore) {
    store.only_keys_with("board");
    store.fail_changes(0..usize::MAX, StoreFault::Unavailable);
}

pub(crate) fn recover_board(store: &TestStore) {
    store.fail_changes(0..0, StoreFault::Unavailable);
}

pub(crate) fn rollout_key() -> StoreKey {
    StoreKey::try_new("default", &"shop".parse().unwrap()).unwrap()
}

pub(crate) async fn stored(store: &TestStore) -> Option<(Rollout, Revision)> {
    let found = store.inner().load(&rollout_key()).await.unwrap()?;
    Some((serde_json::from_str(found.document.as_str()).unwrap(), found.revision))
}

pub(crate) async fn stored_phase(store: &TestStore) -> Phase {
    stored(store).await.unwrap().0.phase()
}

pub(crate) async fn stored_weight(store: &TestStore) -> Weight {
    stored(store).await.map_or(Weight::ZERO, |(rollout, _)| rollout.weight())
}

pub(crate) async fn stored_events(store: &TestStore) -> Vec<Event> {
    let events = store.inner().events(&rollout_key(), usize::MAX).await.unwrap();
    events.iter().map(|event| serde_json::from_str(event.as_str()).unwrap()).collect()
}

/// Replaces the stored rollout, as another replica would.
pub(crate) async fn store_as_replica(store: &TestStore, rollout: &Rollout) {
    let expected = stored(store).await.map(|(_, revision)| revision);
    let document = Document::try_new(serde_json::to_vec(rollout).unwrap()).unwrap();
    let swap = store.inner().compare_and_swap(&rollout_key(), expected.as_ref(), &document).await;
    assert!(matches!(swap.unwrap(), Swap::Done(_)));
}
