//! A store that makes all changes, and whose responses are lost.

use std::time::Duration;

use canary_controller::store::{
    Document, DocumentWatch, EventRecord, KeyRange, Listed, Removal, Revision, StateStore,
    StoreFuture, StoreKey, Swap, Versioned,
    testing::{StoreFault, key},
};
use canary_core::Weight;
use canary_rollout::{Command, Phase};

use crate::support::{
    Shop, controller, managed, order,
    process::{Process, seconds, sum},
    second,
    stored::{TestStore, another_connection, stored_phase, test_store},
};

const PLAN: &str = r#"
warm_up = "0s"
steps = [
    { weight = "10%", min_duration = "1m", min_calls = 1 },
    { weight = "50%", min_duration = "1m", min_calls = 1 },
]
monitors = [{ measure = "failures" }]
"#;

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_replica_are_judged_although_no_publication_is_answered() {
    for fault in [StoreFault::ResponseLost, StoreFault::HangAfterChange] {
        let store = test_store();
        let driver = Process::new(&store, PLAN).await;
        driver.command(Command::Start).await;
        driver.command(Command::Pause).await;
        let connection = another_connection(&store);
        connection.only_keys_with("board");
        connection.fail_changes(0..usize::MAX, fault);
        let processes = [driver, Process::new(&connection, PLAN).await];
        for _ in 0..3 {
            seconds(&processes, 10, 10).await;
            seconds(&processes, 8, 0).await;
            let counted = sum(processes.iter().map(Process::counted));
            assert_eq!(processes[0].judged(), counted, "{fault:?}");
        }
        // Whatever the follower knows about its publications, it leaves the fleet with its last counts.
        let [driver, follower] = processes;
        follower.shop.calls(20).await;
        let counted = sum([driver.counted(), follower.counted()]);
        follower.controller.stop().await;
        seconds(&[&driver], 4, 0).await;
        assert_eq!(driver.judged(), counted, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_carried_out_although_no_change_is_answered() {
    let store = test_store();
    store.fail_changes(0..usize::MAX, StoreFault::ResponseLost);
    let process = Process::new(&store, PLAN).await;
    process.command(Command::Start).await;
    assert_eq!(process.shop.canary.weight(), Weight::from_percent(10));
    for _ in 0..70 {
        second(&process.shop, 20).await;
    }
    assert_eq!(process.shop.canary.weight(), Weight::from_percent(50));
    assert_eq!(process.rollout.status().store_failures, []);
    // The evidence is stored, so that another process can continue.
    second(&process.shop, 0).await;
    second(&process.shop, 0).await;
    let counted = process.counted();
    drop(process);
    let process = Process::new(&store, PLAN).await;
    assert_eq!(process.judged(), counted);
    for _ in 0..90 {
        second(&process.shop, 20).await;
    }
    assert_eq!(stored_phase(&store).await, Phase::Promoted);
}

/// A store whose watches report no change.
#[derive(Debug)]
struct Deaf(TestStore);

impl StateStore for Deaf {
    fn location(&self, key: &StoreKey) -> String {
        self.0.location(key)
    }

    fn load<'a>(&'a self, key: &'a StoreKey) -> StoreFuture<'a, Option<Versioned>> {
        self.0.load(key)
    }

    fn compare_and_swap<'a>(
        &'a self,
        key: &'a StoreKey,
        expected: Option<&'a Revision>,
        document: &'a Document,
    ) -> StoreFuture<'a, Swap> {
        self.0.compare_and_swap(key, expected, document)
    }

    fn remove<'a>(&'a self, key: &'a StoreKey, expected: &'a Revision) -> StoreFuture<'a, Removal> {
        self.0.remove(key, expected)
    }

    fn list<'a>(&'a self, range: &'a KeyRange) -> StoreFuture<'a, Vec<Listed>> {
        self.0.list(range)
    }

    fn watch(&self, _: &StoreKey) -> DocumentWatch {
        self.0.watch(&key("another"))
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

#[tokio::test(start_paused = true)]
async fn a_plan_goes_on_as_soon_as_writes_of_the_evidence_are_answered() {
    for fault in [StoreFault::Hang, StoreFault::HangAfterChange] {
        let store = test_store();
        store.only_keys_with("evidence");
        let shop = Shop::new("v2");
        let driver = controller(Deaf(store.clone()));
        let rollout = driver.add(managed(&shop, PLAN)).unwrap();
        assert!(driver.ready(Duration::from_secs(5)).await);
        rollout.command(order(Command::Start)).await.unwrap();
        for _ in 0..10 {
            second(&shop, 20).await;
        }
        store.fail_changes(0..usize::MAX, fault);
        for _ in 0..80 {
            second(&shop, 20).await;
        }
        assert_eq!(shop.canary.weight(), Weight::from_percent(10), "{fault:?}");
        store.fail_changes(0..0, fault);
        second(&shop, 20).await;
        second(&shop, 20).await;
        assert_eq!(shop.canary.weight(), Weight::from_percent(50), "{fault:?}");
        assert_eq!(rollout.status().store_failures, []);
        for _ in 0..3 {
            second(&shop, 0).await;
        }
        let evidence = shop.canary.counts().total().evidence;
        let counted = evidence.canary.success + evidence.canary.failure;
        drop(driver);
        assert_eq!(Process::new(&store, PLAN).await.judged().canary, counted, "{fault:?}");
    }
}
