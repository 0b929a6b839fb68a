//! P2: watches with and without notifications.

use std::time::Duration;

use canary_controller::store::{StateStore, WatchEvent};
use canary_store_postgres::{PostgresOptions, PostgresStore};
use canary_tests::postgres::{Pooler, PostgresServer};
use tokio::time::Instant;

use crate::{document, key, open, options, swap};

const TERMINATE: &str = "select count(pg_terminate_backend(pid)) from pg_stat_activity where application_name = 'canary'";

const WAIT: &str = "select count(*) from pg_stat_activity where application_name = 'canary'";

#[tokio::test(flavor = "multi_thread")]
async fn changes_without_a_notification_arrive_by_polling() {
    let test = "changes_without_a_notification_arrive_by_polling";
    let Some(server) = PostgresServer::start(test) else { return };
    let interval = Duration::from_millis(200);
    let options = options(&server).poll_interval(interval).unwrap();
    let store = PostgresStore::open(options).await.unwrap();
    swap(&store, &key("shop"), None, &document(1)).await;
    let mut watch = store.watch(&key("shop"));
    assert!(matches!(watch.next().await, WatchEvent::Value(_)));
    let start = Instant::now();
    for number in 2..5 {
        server.sql(
            "shop",
            &format!("update canary_documents set document = '{{\"number\":{number}}}'"),
        );
        let WatchEvent::Value(seen) = watch.next().await else { panic!("the server is up") };
        assert_eq!(seen.document, document(number));
    }
    // A watch reads after 30 s in any case.
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_notification_arrives_long_before_the_next_poll() {
    let test = "a_notification_arrives_long_before_the_next_poll";
    let Some(server) = PostgresServer::start(test) else { return };
    let options = options(&server).poll_interval(Duration::from_secs(30)).unwrap();
    let (writer, reader) = (open(&server).await, PostgresStore::open(options).await.unwrap());
    let mut watch = reader.watch(&key("shop"));
    assert_eq!(watch.next().await, WatchEvent::Absent);
    let start = Instant::now();
    let mut revision = swap(&writer, &key("shop"), None, &document(0)).await;
    for number in 1..20 {
        let WatchEvent::Value(seen) = watch.next().await else { panic!("the server is up") };
        assert_eq!(seen.revision, revision);
        revision = swap(&writer, &key("shop"), Some(&revision), &document(number)).await;
    }
    assert!(matches!(watch.next().await, WatchEvent::Value(_)));
    let _ = writer.remove(&key("shop"), &revision).await.unwrap();
    assert_eq!(watch.next().await, WatchEvent::Absent);
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_watches_of_a_store_share_one_connection() {
    let test = "all_watches_of_a_store_share_one_connection";
    let Some(server) = PostgresServer::start(test) else { return };
    let store = open(&server).await;
    let mut watches: Vec<_> =
        (0..20).map(|number| store.watch(&key(&format!("shop-{number}")))).collect();
    for watch in &mut watches {
        assert_eq!(watch.next().await, WatchEvent::Absent);
    }
    for (number, watch) in (0..).zip(&mut watches) {
        swap(&store, &key(&format!("shop-{number}")), None, &document(number)).await;
        let WatchEvent::Value(seen) = watch.next().await else { panic!("the server is up") };
        assert_eq!(seen.document, document(number));
    }
    assert_eq!(server.query("shop", WAIT), "2");
    drop(watches);
    drop(store);
    // The server notices the end of the connections when it reads from them.
    let ended = "do $$ begin while exists (select from pg_stat_activity \
        where application_name = 'canary') loop perform pg_stat_clear_snapshot(); \
        perform pg_sleep(0.01); end loop; end $$";
    server.sql("shop", ended);
}

/// The connections are cut while the server stays up.
#[tokio::test(flavor = "multi_thread")]
async fn a_cut_connection_loses_no_change() {
    let Some(server) = PostgresServer::start("a_cut_connection_loses_no_change") else { return };
    let options = options(&server).poll_interval(Duration::from_secs(30)).unwrap();
    let (writer, reader) = (open(&server).await, PostgresStore::open(options).await.unwrap());
    let mut watch = reader.watch(&key("shop"));
    assert_eq!(watch.next().await, WatchEvent::Absent);
    let mut revision = None;
    let start = Instant::now();
    for number in 0..10 {
        server.sql("shop", TERMINATE);
        let loaded = reader.load(&key("shop")).await.unwrap();
        assert_eq!(loaded.map(|it| it.revision), revision, "a read is repeated");
        // The writer's connection may be cut as well, without having noticed it.
        writer.load(&key("shop")).await.unwrap();
        revision = Some(swap(&writer, &key("shop"), revision.as_ref(), &document(number)).await);
        loop {
            match watch.next().await {
                WatchEvent::Value(seen) if Some(&seen.revision) == revision.as_ref() => break,
                WatchEvent::Stale { why } => panic!("the server is up: {why}"),
                _ => {}
            }
        }
    }
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
}

/// A pooler in the mode `transaction` loses notifications, and refuses the settings of the connection.
#[tokio::test(flavor = "multi_thread")]
async fn behind_a_pooler_changes_arrive_by_polling() {
    let test = "behind_a_pooler_changes_arrive_by_polling";
    let Some(server) = PostgresServer::start(test) else { return };
    let Some(pooler) = Pooler::start(test, &server) else { return };
    let options = PostgresOptions::from_url(&pooler.url()).unwrap();
    let options = options.poll_interval(Duration::from_millis(200)).unwrap();
    let writer = PostgresStore::open(options.clone()).await.unwrap();
    let reader = PostgresStore::open(options).await.unwrap();
    let mut watch = reader.watch(&key("shop"));
    assert_eq!(watch.next().await, WatchEvent::Absent);
    let mut revision = None;
    for number in 0..10 {
        revision = Some(swap(&writer, &key("shop"), revision.as_ref(), &document(number)).await);
        let WatchEvent::Value(seen) = watch.next().await else { panic!("the server is up") };
        assert_eq!(Some(&seen.revision), revision.as_ref());
    }
}
