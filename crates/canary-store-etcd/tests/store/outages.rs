//! Servers that die, freeze, or lose their data.

use std::{net::TcpListener, sync::Arc, time::Instant};

use canary_controller::store::{
    CALL_DEADLINE, EventRecord, Retry, Settled, StateStore, StoreError, Swap, WatchEvent, settle,
};
use canary_store_etcd::EtcdStore;
use canary_tests::{etcd::Etcd, timeout::complete};
use tokio::task::JoinSet;

use crate::documents::{increment, key, number_document, sum, swap};

fn open(etcd: &Etcd) -> EtcdStore {
    EtcdStore::builder([etcd.url()]).build().unwrap()
}

/// S3, S7 and S8: 400 increments of four writers result in 400, although the server is killed and
/// started again meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn no_increment_is_lost_or_repeated_when_the_server_is_killed() {
    let Some(etcd) = Etcd::start("increments with kills of etcd", &[]) else { return };
    let (etcd, key) = (Arc::new(etcd), key("killed"));
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let (store, key) = (open(&etcd), key.clone());
        writers.spawn(async move { increment(&store, &key, &writer.to_string(), 100).await });
    }
    let store = open(&etcd);
    for round in 1..=3 {
        while sum(&store, &key).await < 75 * round {
            tokio::task::yield_now().await;
        }
        etcd.restart();
        // Until it serves again, for the unwrap in `sum`.
        while store.load(&key).await.is_err() {
            tokio::task::yield_now().await;
        }
    }
    complete(writers.join_all()).await;
    assert_eq!(sum(&store, &key).await, 400);
}

/// S8, S11 and S15: a server that accepts connections and does not respond.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_leaves_no_call_without_an_end() {
    let Some(etcd) = Etcd::start("a frozen etcd", &[]) else { return };
    let (store, key) = (open(&etcd), key("frozen"));
    let mut watch = store.watch(&key);
    assert_eq!(complete(watch.next()).await, WatchEvent::Absent);
    let first = swap(&store, &key, None, 1).await;
    assert_eq!(complete(watch.next()).await, WatchEvent::Value(first.clone()));

    etcd.freeze();
    let start = Instant::now();
    let loaded = store.load(&key).await.unwrap_err();
    assert!(matches!(loaded, StoreError::Unavailable { .. }), "{loaded}");
    let document = number_document(2);
    let swapped = store.compare_and_swap(&key, Some(&first.revision), &document).await;
    let swapped = swapped.unwrap_err();
    // The server has received the request, and may execute it when it continues.
    assert!(matches!(swapped, StoreError::Unknown { .. }), "{swapped}");
    assert!(start.elapsed() < 3 * CALL_DEADLINE, "{:?}", start.elapsed());
    let WatchEvent::Stale { why } = complete(watch.next()).await else { panic!("it is frozen") };
    assert!(why.contains(&etcd.url()), "{why}");

    etcd.unfreeze();
    assert_eq!(complete(watch.next()).await, WatchEvent::Fresh);
    let settled = settle(&store, &key, Some(&first.revision), &document, |_| false).await.unwrap();
    assert!(matches!(settled, Settled::Done(_)), "{settled:?}");
    let mut event = complete(watch.next()).await;
    if event == WatchEvent::Value(first) {
        event = complete(watch.next()).await;
    }
    let WatchEvent::Value(second) = event else { panic!("{event:?}") };
    assert_eq!(second.document, document);
}

/// S5 after a loss of all data: a revision from before the loss never identifies a new document, even
/// though etcd counts its own revisions from the beginning again.
#[tokio::test(flavor = "multi_thread")]
async fn a_revision_from_before_a_loss_of_data_replaces_nothing() {
    let Some(etcd) = Etcd::start("a wiped etcd", &[]) else { return };
    let (store, key) = (open(&etcd), key("wiped"));
    let first = swap(&store, &key, None, 1).await;
    let lost = swap(&store, &key, Some(&first.revision), 2).await;
    let mut watch = store.watch(&key);
    assert_eq!(complete(watch.next()).await, WatchEvent::Value(lost.clone()));

    etcd.wipe();
    assert!(matches!(complete(watch.next()).await, WatchEvent::Stale { .. }));
    etcd.restart();
    assert_eq!(complete(watch.next()).await, WatchEvent::Fresh);
    assert_eq!(complete(watch.next()).await, WatchEvent::Absent);

    let writer = open(&etcd);
    let new_first = swap(&writer, &key, None, 11).await;
    let new = swap(&writer, &key, Some(&new_first.revision), 12).await;
    let counts = |text: &str| text.split_once('-').unwrap().0.to_owned();
    assert_eq!(counts(new.revision.as_str()), counts(lost.revision.as_str()), "etcd repeats it");
    let late = store.compare_and_swap(&key, Some(&lost.revision), &number_document(3)).await;
    assert_eq!(late.unwrap(), Swap::Conflict(Some(new.clone())));
    let event = loop {
        // The watch may skip the first of the two.
        let event = complete(watch.next()).await;
        if event != WatchEvent::Value(new_first.clone()) {
            break event;
        }
    };
    assert_eq!(event, WatchEvent::Value(new), "the watch sees the new data");
}

/// S3: an edit by an operator is a change, although the id of the write is the same.
#[tokio::test]
async fn an_edited_document_has_another_revision() {
    let Some(etcd) = Etcd::start("an edited document", &[]) else { return };
    let (store, key) = (open(&etcd), key("edited"));
    let first = swap(&store, &key, None, 1).await;
    let value = String::from_utf8(etcd.get(key.as_str()).unwrap()).unwrap();
    etcd.put(key.as_str(), value.replace(r#""number":1"#, r#""number":7"#).as_bytes());
    let late = store.compare_and_swap(&key, Some(&first.revision), &number_document(2)).await;
    let Swap::Conflict(Some(current)) = late.unwrap() else { panic!("the edit was replaced") };
    assert_eq!(current.document, number_document(7));
    let _ = swap(&store, &key, Some(&current.revision), 8).await;
}

/// S8: the next endpoint is used if one is dead. No outcome is unknown: no request was sent to it.
#[tokio::test(flavor = "multi_thread")]
async fn a_dead_endpoint_costs_no_call() {
    let Some(etcd) = Etcd::start("a dead endpoint", &[]) else { return };
    let dead = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let (key, mut current) = (key("dead-endpoint"), None);
    // Each store begins with a random endpoint.
    for number in 0..12 {
        let store = EtcdStore::builder([dead.clone(), etcd.url()]).build().unwrap();
        let stored = swap(&store, &key, current.as_ref(), number).await;
        let other = EtcdStore::builder([dead.clone(), etcd.url()]).build().unwrap();
        let event = complete(other.watch(&key).next()).await;
        assert_eq!(event, WatchEvent::Value(stored.clone()));
        let event = EventRecord::try_new(format!(r#"{{"number":{number}}}"#)).unwrap();
        other.append_event(&key, &event).await.unwrap();
        current = Some(stored.revision);
    }
    let error = EtcdStore::builder([dead.clone()]).build().unwrap().load(&key).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later);
    let cause = std::error::Error::source(&error).unwrap().to_string();
    assert!(cause.starts_with(&dead) && cause.contains("refused"), "{cause}");
    // Nothing was sent, so that the outcome of a change is known as well.
    let store = EtcdStore::builder([dead]).build().unwrap();
    let error = store.compare_and_swap(&key, None, &number_document(1)).await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
}

/// Each member of a cluster is killed in turn, so that the leader is killed at least once. Writers and
/// a watch continue with the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_survives_the_death_of_each_member() {
    let Some(members) = Etcd::start_cluster("an etcd cluster", 3) else { return };
    let urls: Vec<_> = members.iter().map(Etcd::url).collect();
    let (store, key) = (EtcdStore::builder(urls).build().unwrap(), key("cluster"));
    increment(&store, &key, "first", 1).await;
    let mut watch = store.watch(&key);
    for (number, member) in (1..).zip(&members) {
        member.kill();
        complete(increment(&store, &key, &number.to_string(), 20)).await;
        member.restart();
        let latest = complete(async {
            loop {
                if let Ok(latest) = store.load(&key).await {
                    break latest.unwrap();
                }
            }
        });
        let latest = latest.await;
        complete(async { while watch.next().await != WatchEvent::Value(latest.clone()) {} }).await;
    }
    assert_eq!(complete(sum(&store, &key)).await, 61);
}
