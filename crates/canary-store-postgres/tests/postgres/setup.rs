//! The creation and the version of the tables, and what the server must be.

use canary_controller::store::{Retry, StateStore, WatchEvent};
use canary_store_postgres::{PostgresOptions, PostgresStore};
use canary_tests::postgres::PostgresServer;
use tokio::task::JoinSet;

use crate::{chain, document, key, open, options, swap};

#[tokio::test(flavor = "multi_thread")]
async fn twenty_stores_that_start_at_once_create_the_tables_once() {
    let test = "twenty_stores_that_start_at_once_create_the_tables_once";
    let Some(server) = PostgresServer::start(test) else { return };
    let mut starts = JoinSet::new();
    for number in 0..20 {
        let options = options(&server).schema("canary").unwrap();
        starts.spawn(async move {
            let store = PostgresStore::open(options).await.unwrap();
            let key = key(&format!("shop-{number}"));
            swap(&store, &key, None, &document(number)).await;
        });
    }
    starts.join_all().await;
    assert_eq!(server.query("shop", "select count(*) from canary.canary_documents"), "20");
    assert_eq!(server.query("shop", "select version from canary.canary_store"), "1");
}

#[tokio::test]
async fn tables_of_a_newer_version_are_refused() {
    let Some(server) = PostgresServer::start("tables_of_a_newer_version_are_refused") else {
        return;
    };
    open(&server).await;
    server.sql("shop", "update canary_store set version = 7");
    let error = PostgresStore::open(options(&server)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    let expected = format!(
        "open the store in PostgreSQL: refused by the store: 127.0.0.1:{}/shop: version 7 in \
         \"canary_store\": expected 1; another release of this crate made the tables",
        server.port()
    );
    assert_eq!(chain(&error), expected);
    server.sql("shop", "delete from canary_store");
    let error = PostgresStore::open(options(&server)).await.unwrap_err();
    assert!(chain(&error).contains("\"canary_store\" is empty"), "{error:?}");
}

/// P6, P4 and S5.
#[tokio::test]
async fn dropped_tables_are_created_again_and_revisions_do_not_return() {
    let test = "dropped_tables_are_created_again_and_revisions_do_not_return";
    let Some(server) = PostgresServer::start(test) else { return };
    let store = PostgresStore::open(options(&server).schema("canary").unwrap()).await.unwrap();
    let mut watch = store.watch(&key("shop"));
    assert_eq!(watch.next().await, WatchEvent::Absent);
    let first = swap(&store, &key("shop"), None, &document(1)).await;
    assert!(matches!(watch.next().await, WatchEvent::Value(_)));
    let table =
        "drop table canary.canary_documents; notify canary_documents, '/prod/v1/rollouts/shop'";
    for wipe in [table, "drop schema canary cascade"] {
        server.sql("shop", wipe);
        let second = swap(&store, &key("shop"), None, &document(1)).await;
        assert_ne!(second, first, "the same bytes");
        let swapped = store.compare_and_swap(&key("shop"), Some(&first), &document(2)).await;
        assert!(matches!(swapped.unwrap(), canary_controller::store::Swap::Conflict(Some(_))));
        loop {
            // Absent in between, if the watch read then.
            if let WatchEvent::Value(seen) = watch.next().await {
                assert_eq!(seen.revision, second);
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_watch_reports_that_the_tables_were_emptied() {
    let Some(server) = PostgresServer::start("a_watch_reports_that_the_tables_were_emptied") else {
        return;
    };
    let store = open(&server).await;
    swap(&store, &key("shop"), None, &document(1)).await;
    let mut watch = store.watch(&key("shop"));
    assert!(matches!(watch.next().await, WatchEvent::Value(_)));
    server.sql("shop", "truncate canary_documents, canary_events, canary_histories");
    assert_eq!(watch.next().await, WatchEvent::Absent);
}

#[tokio::test]
async fn a_database_with_another_encoding_is_refused() {
    let Some(server) = PostgresServer::start("a_database_with_another_encoding_is_refused") else {
        return;
    };
    let sql = "create database latin owner shop encoding latin1 locale 'C' template template0";
    server.sql("postgres", sql);
    let url = server.url_of("shop", "latin");
    let error = PostgresStore::open(PostgresOptions::from_url(&url).unwrap()).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    assert!(chain(&error).contains("encoding LATIN1: expected UTF8"), "{error:?}");
}

/// S7.
#[tokio::test]
async fn commits_are_synchronous_even_if_the_role_does_not_ask_for_it() {
    let test = "commits_are_synchronous_even_if_the_role_does_not_ask_for_it";
    let Some(server) = PostgresServer::start(test) else { return };
    server.sql("shop", "alter role shop set synchronous_commit = off");
    open(&server).await;
    // Settings of the URL take precedence, but this one breaks a guarantee.
    let url = server.url() + "?options=-c%20synchronous_commit%3Doff";
    let error = PostgresStore::open(PostgresOptions::from_url(&url).unwrap()).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Never);
    assert!(chain(&error).contains("synchronous_commit is off: expected on"), "{error:?}");
}

/// P3.
#[tokio::test]
async fn a_read_only_server_is_unavailable_and_the_error_says_why() {
    let test = "a_read_only_server_is_unavailable_and_the_error_says_why";
    let Some(server) = PostgresServer::start(test) else { return };
    let store = open(&server).await;
    server.sql("shop", "alter role shop set default_transaction_read_only = on");
    let error = PostgresStore::open(options(&server)).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later);
    let why = "database does not allow writes; expected the primary server";
    assert!(chain(&error).contains(why), "{error:?}");
    swap(&store, &key("shop"), None, &document(1)).await;
}

/// P3 and S7.
#[tokio::test(flavor = "multi_thread")]
async fn the_primary_is_used_and_a_synchronous_standby_takes_over_with_every_write() {
    let test = "the_primary_is_used_and_a_synchronous_standby_takes_over_with_every_write";
    let Some(mut primary) = PostgresServer::start(test) else { return };
    let standby = primary.standby();
    primary.sql("postgres", "alter system set synchronous_standby_names = '*'");
    primary.sql("postgres", "select pg_reload_conf()");
    let error = PostgresStore::open(options(&standby)).await.unwrap_err();
    assert!(chain(&error).contains("expected the primary server"), "{error:?}");

    let (first, second) = (standby.port(), primary.port());
    let url = format!("postgres://shop@127.0.0.1:{first},127.0.0.1:{second}/shop");
    let store = PostgresStore::open(PostgresOptions::from_url(&url).unwrap()).await.unwrap();
    let mut watch = store.watch(&key("shop"));
    assert_eq!(watch.next().await, WatchEvent::Absent);
    let mut revision = None;
    for number in 0..50 {
        revision = Some(swap(&store, &key("shop"), revision.as_ref(), &document(number)).await);
    }
    primary.kill();
    standby.sql("postgres", "alter system set synchronous_standby_names = ''");
    standby.sql("postgres", "select pg_promote()");
    let found = store.load(&key("shop")).await.unwrap().unwrap();
    assert_eq!((Some(found.revision.clone()), found.document), (revision, document(49)));
    let next = swap(&store, &key("shop"), Some(&found.revision), &document(50)).await;
    loop {
        if let WatchEvent::Value(seen) = watch.next().await
            && seen.revision == next
        {
            break;
        }
    }
}
