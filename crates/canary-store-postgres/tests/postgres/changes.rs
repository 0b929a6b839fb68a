//! Changes by other clients of the database.

use canary_controller::store::{Retry, StateStore, Swap, WatchEvent};
use canary_store_postgres::{PostgresOptions, PostgresStore};
use canary_tests::postgres::PostgresServer;
use tokio::{task::JoinSet, time::Instant};
use tokio_postgres::{Client, NoTls};

use crate::{chain, document, key, number, open, swap};

/// P4, S5 and S14.
#[tokio::test]
async fn an_edit_by_hand_is_a_new_revision() {
    let Some(server) = PostgresServer::start("an_edit_by_hand_is_a_new_revision") else { return };
    let store = open(&server).await;
    let first = swap(&store, &key("shop"), None, &document(1)).await;
    let edit = r#"update canary_documents set document = '{ "number": 2 }'"#;
    server.sql("shop", edit);
    let edited = store.load(&key("shop")).await.unwrap().unwrap();
    assert_eq!(edited.document.as_str(), r#"{ "number": 2 }"#);
    let late = store.compare_and_swap(&key("shop"), Some(&first), &document(3)).await.unwrap();
    assert_eq!(late, Swap::Conflict(Some(edited.clone())), "an unseen edit is not overwritten");
    let removed = store.remove(&key("shop"), &first).await.unwrap();
    assert_eq!(removed, canary_controller::store::Removal::Conflict(Some(edited.clone())));
    swap(&store, &key("shop"), Some(&edited.revision), &document(3)).await;
}

#[tokio::test]
async fn an_error_about_a_corrupt_document_names_its_place() {
    let test = "an_error_about_a_corrupt_document_names_its_place";
    let Some(server) = PostgresServer::start(test) else { return };
    let store = open(&server).await;
    swap(&store, &key("shop"), None, &document(1)).await;
    server.sql("shop", "update canary_documents set document = '[1]'");
    let error = store.load(&key("shop")).await.unwrap_err();
    let expected = format!(
        "load /prod/v1/rollouts/shop: the stored bytes are not a document: \
         \"canary_documents\" in 127.0.0.1:{}/shop: document of 3 bytes: \
         expected one JSON object, from '{{' to '}}', in UTF-8",
        server.port()
    );
    assert_eq!(chain(&error), expected);
    let long = "update canary_documents set document = repeat('x', 1000000)";
    server.sql("shop", long);
    let error = store.load(&key("shop")).await.unwrap_err();
    assert!(chain(&error).contains("document of 131073 bytes"), "only the beginning is read");
}

/// S13 and S15.
#[tokio::test(flavor = "multi_thread")]
async fn a_locked_row_ends_only_the_calls_that_need_it_and_in_time() {
    let test = "a_locked_row_ends_only_the_calls_that_need_it_and_in_time";
    let Some(server) = PostgresServer::start(test) else { return };
    let store = open(&server).await;
    let first = swap(&store, &key("locked"), None, &document(1)).await;
    let other = connect(&server).await;
    let lock = "begin; select * from canary_documents for update";
    other.batch_execute(lock).await.unwrap();

    let start = Instant::now();
    let locked = key("locked");
    let next = document(2);
    let swapping = store.compare_and_swap(&locked, Some(&first), &next);
    let elsewhere = async {
        swap(&store, &key("other"), None, &document(3)).await;
        store.load(&locked).await.unwrap()
    };
    let (swapped, loaded) = tokio::join!(swapping, elsewhere);
    assert!(start.elapsed() < 2 * canary_controller::store::CALL_DEADLINE);
    let error = swapped.unwrap_err();
    assert_eq!(error.retry(), Retry::Later, "S8: the outcome is known: {error:?}");
    assert!(chain(&error).contains("lock timeout"), "{error:?}");
    assert_eq!(loaded.unwrap().revision, first);
    other.batch_execute("rollback").await.unwrap();
    swap(&store, &locked, Some(&first), &next).await;
}

/// S3: an isolation level that rejects concurrent changes costs repetitions, and no errors.
#[tokio::test(flavor = "multi_thread")]
async fn contended_swaps_are_exact_at_every_isolation_level() {
    let test = "contended_swaps_are_exact_at_every_isolation_level";
    let Some(server) = PostgresServer::start(test) else { return };
    for level in ["read\\ committed", "repeatable\\ read", "serializable"] {
        let level = level.replace('\\', "%5C").replace(' ', "%20");
        let url = format!("{}?options=-c%20default_transaction_isolation%3D{level}", server.url());
        let options = PostgresOptions::from_url(&url).unwrap();
        let mut tasks = JoinSet::new();
        for _ in 0..4 {
            let store = PostgresStore::open(options.clone()).await.unwrap();
            tasks.spawn(async move { increment(&store, 25).await });
        }
        tasks.join_all().await;
    }
    let sum = open(&server).await.load(&key("sum")).await.unwrap().unwrap();
    assert_eq!(number(&sum.document), 300);
}

async fn increment(store: &PostgresStore, times: u64) {
    let key = key("sum");
    let mut current = store.load(&key).await.unwrap();
    for _ in 0..times {
        loop {
            let next = document(current.as_ref().map_or(0, |it| number(&it.document)) + 1);
            let expected = current.as_ref().map(|it| &it.revision);
            match store.compare_and_swap(&key, expected, &next).await.unwrap() {
                Swap::Done(revision) => {
                    current =
                        Some(canary_controller::store::Versioned { revision, document: next });
                    break;
                }
                Swap::Conflict(newer) => current = newer,
            }
        }
    }
}

/// Rows that were inserted by hand do not disturb.
#[tokio::test]
async fn foreign_rows_are_ignored() {
    let Some(server) = PostgresServer::start("foreign_rows_are_ignored") else { return };
    let store = open(&server).await;
    swap(&store, &key("shop"), None, &document(1)).await;
    store.append_event(&key("shop"), &event(1)).await.unwrap();
    let rows = "insert into canary_documents values \
        ('/prod/v1/rollouts/No Name', 1, '{}'), ('/prod/v1/rollouts/', 1, '{}'), ('', 1, '{}')";
    server.sql("shop", rows);
    let rows = "insert into canary_events values ('/prod/v1/rollouts/shop', 2, 'no event')";
    server.sql("shop", rows);
    server.sql("shop", "delete from canary_histories");
    store.append_event(&key("shop"), &event(3)).await.unwrap();
    let range = canary_controller::store::KeyRange::rollouts("prod").unwrap();
    let listed = store.list(&range).await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].key, key("shop"));
    let events = store.events(&key("shop"), 9).await.unwrap();
    assert_eq!(events, [event(1), event(3)]);
    let mut watch = store.watch(&key("shop"));
    assert!(matches!(watch.next().await, WatchEvent::Value(_)));
}

fn event(number: u64) -> canary_controller::store::EventRecord {
    canary_controller::store::EventRecord::try_new(format!(r#"{{"number":{number}}}"#)).unwrap()
}

/// Returns a connection of the superuser.
pub(crate) async fn connect(server: &PostgresServer) -> Client {
    let config = format!("host=127.0.0.1 port={} user=postgres dbname=shop", server.port());
    let (client, connection) = tokio_postgres::connect(&config, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}
