//! The server is killed, or hangs.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use canary_controller::store::{
    CALL_DEADLINE, Document, Retry, Settled, StateStore, WatchEvent, settle,
};
use canary_store_postgres::PostgresStore;
use canary_tests::postgres::PostgresServer;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use crate::{chain, document, key, open, options, swap};

/// P1, S3, S7 and S8.
#[tokio::test(flavor = "multi_thread")]
async fn no_increment_is_lost_or_doubled_while_the_server_is_killed() {
    let test = "no_increment_is_lost_or_doubled_while_the_server_is_killed";
    let Some(mut server) = PostgresServer::start(test) else { return };
    let (up, is_up) = watch::channel(true);
    let done = Arc::new(AtomicU64::new(0));
    let (progress, mut progressed) = watch::channel(0);
    let progress = Arc::new(progress);
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let store = PostgresStore::new(options(&server)).unwrap();
        let (is_up, done, progress) = (is_up.clone(), done.clone(), progress.clone());
        writers.spawn(async move {
            for number in 0..100 {
                increment(&store, &format!("{writer}-{number}"), is_up.clone()).await;
                progress.send_replace(done.fetch_add(1, Ordering::Relaxed) + 1);
            }
        });
    }
    for kill_at in [50, 150, 250, 350] {
        progressed.wait_for(|done| *done >= kill_at).await.unwrap();
        up.send_replace(false);
        server.kill();
        server.restart();
        up.send_replace(true);
    }
    timeout(MAX_TIME, writers.join_all()).await.expect("the writers should have ended");
    let sum = open(&server).await.load(&key("sum")).await.unwrap().unwrap();
    assert!(sum.document.as_str().starts_with(r#"{"number":400,"#), "{:?}", sum.document);
}

/// Increments a number exactly once, whatever fails. The document has the ids of the last increments.
async fn increment(store: &PostgresStore, id: &str, mut is_up: watch::Receiver<bool>) {
    let key = key("sum");
    let mut current = loop {
        match store.load(&key).await {
            Ok(current) => break current,
            Err(_) => drop(is_up.wait_for(|up| *up).await),
        }
    };
    loop {
        let (number, mut ids) = current.as_ref().map_or((0, Vec::new()), |it| parse(&it.document));
        ids.push(format!("{id:?}"));
        let ids = ids[ids.len().saturating_sub(16)..].join(",");
        let next = format!(r#"{{"number":{},"ids":[{ids}]}}"#, number + 1);
        let next = Document::try_new(next).unwrap();
        let expected = current.as_ref().map(|it| &it.revision);
        let is_applied = |document: &Document| parse(document).1.contains(&format!("{id:?}"));
        let settled = loop {
            // The same arguments again, until the outcome is known.
            match settle(store, &key, expected, &next, is_applied).await {
                Ok(settled) => break settled,
                Err(error) => {
                    assert_ne!(error.retry(), Retry::Never, "{error:?}");
                    let _ = is_up.wait_for(|up| *up).await;
                }
            }
        };
        match settled {
            Settled::Done(_) | Settled::Overtaken(_) => return,
            Settled::Conflict(newer) => current = newer,
        }
    }
}

fn parse(document: &Document) -> (u64, Vec<String>) {
    let text = document.as_str();
    let (number, ids) = text.split_once(",\"ids\":[").unwrap();
    let ids = ids.trim_end_matches("]}").split(',').map(str::to_owned).collect();
    (number.trim_start_matches(r#"{"number":"#).parse().unwrap(), ids)
}

/// S8, S11 and S15: a black hole. Connections stay open, and nothing is answered.
#[tokio::test(flavor = "multi_thread")]
async fn calls_end_and_watches_recover_when_the_server_hangs() {
    let test = "calls_end_and_watches_recover_when_the_server_hangs";
    let Some(server) = PostgresServer::start(test) else { return };
    let store = open(&server).await;
    let first = swap(&store, &key("shop"), None, &document(1)).await;
    let mut watch = store.watch(&key("shop"));
    assert!(matches!(watch.next().await, WatchEvent::Value(_)));
    server.freeze();
    let start = Instant::now();
    let swapped = store.compare_and_swap(&key("shop"), Some(&first), &document(2)).await;
    let unknown = swapped.unwrap_err();
    assert_eq!(unknown.retry(), Retry::AfterLoad, "it was sent: {unknown:?}");
    assert!(chain(&unknown).contains("no response within 2s"), "{unknown:?}");
    let swapped = store.compare_and_swap(&key("shop"), Some(&first), &document(3)).await;
    let unavailable = swapped.unwrap_err();
    assert_eq!(unavailable.retry(), Retry::Later, "it was not sent: {unavailable:?}");
    assert!(start.elapsed() < 3 * CALL_DEADLINE, "{:?}", start.elapsed());
    let WatchEvent::Stale { why } = watch.next().await else { panic!("nothing is answered") };
    assert!(why.contains("127.0.0.1"), "{why}");
    server.thaw();
    let is_stored = |it: &Document| *it == document(2);
    let settled = timeout(MAX_TIME, async {
        loop {
            let (key, next) = (key("shop"), document(2));
            if let Ok(settled) = settle(&store, &key, Some(&first), &next, is_stored).await {
                break settled;
            }
        }
    });
    let Settled::Done(second) = settled.await.unwrap() else { panic!("there is no other writer") };
    assert_eq!(watch.next().await, WatchEvent::Fresh);
    loop {
        let WatchEvent::Value(seen) = watch.next().await else { panic!("the server is up") };
        if seen.revision == second {
            break;
        }
    }
}

/// A server that hangs does not keep the store from one that works.
#[tokio::test(flavor = "multi_thread")]
async fn of_two_servers_the_one_that_answers_is_used() {
    let test = "of_two_servers_the_one_that_answers_is_used";
    let Some(working) = PostgresServer::start(test) else { return };
    let Some(hanging) = PostgresServer::start(test) else { return };
    hanging.freeze();
    let (first, second) = (hanging.port(), working.port());
    let url = format!("postgres://shop@127.0.0.1:{first},127.0.0.1:{second}/shop");
    let store = PostgresStore::open(url.parse().unwrap()).await.unwrap();
    swap(&store, &key("shop"), None, &document(1)).await;
    assert!(open(&working).await.load(&key("shop")).await.unwrap().is_some());
}

const MAX_TIME: std::time::Duration = std::time::Duration::from_secs(120);
