//! Checks of watches.

use futures_util::FutureExt;
use tokio::{task::JoinSet, time::Instant};

use super::{
    store_under_test::{StoreUnderTest, all, key, next},
    swaps::{increment, number, number_document, swap},
};
use crate::store::{CALL_DEADLINE, Versioned, WatchEvent};

/// S9: the first event is the current document, the next one the changed document.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn a_watch_starts_with_the_current_document(subject: &dyn StoreUnderTest) {
    let (store, key) = (subject.open().await, key("watch-begins"));
    let mut early = store.watch(&key);
    assert_eq!(next(&mut early).await, WatchEvent::Absent);
    let first = swap(&*store, &key, None, &number_document(1)).await;
    assert_eq!(next(&mut early).await, WatchEvent::Value(first.clone()));

    let mut late = subject.open().await.watch(&key);
    assert_eq!(next(&mut late).await, WatchEvent::Value(first.clone()));
    let second = swap(&*store, &key, Some(&first.revision), &number_document(1)).await;
    for watch in [&mut early, &mut late] {
        assert_eq!(
            next(watch).await,
            WatchEvent::Value(second.clone()),
            "same bytes, new revision"
        );
    }
}

/// S10: while four tasks increment a number, three watches return increasing numbers, without
/// repetition, up to the last one.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn watches_converge(subject: &dyn StoreUnderTest) {
    let key = key("watches-converge");
    let mut watchers = JoinSet::new();
    for _ in 0..3 {
        let mut watch = subject.open().await.watch(&key);
        watchers.spawn(async move {
            let mut last = 0;
            let mut is_stale = false;
            while last < 200 || is_stale {
                let mut seen = None;
                match next(&mut watch).await {
                    WatchEvent::Absent => assert_eq!(last, 0, "the document was not deleted"),
                    WatchEvent::Value(it) => seen = Some(number(&it.document)),
                    // A real engine may fail briefly. The same document may follow.
                    WatchEvent::Stale { why } => {
                        println!("stale: {why}");
                        is_stale = true;
                    }
                    WatchEvent::Fresh => {
                        assert!(is_stale, "the watch was not stale");
                        let WatchEvent::Value(it) = next(&mut watch).await else { continue };
                        is_stale = false;
                        assert!(number(&it.document) >= last, "{last}, then {it:?}");
                        last = number(&it.document);
                    }
                }
                if let Some(seen) = seen {
                    assert!(seen > last, "{last}, then {seen}");
                    last = seen;
                }
            }
            last
        });
    }
    let mut writers = JoinSet::new();
    for _ in 0..4 {
        let (store, key) = (subject.open().await, key.clone());
        writers.spawn(async move { increment(store, &key, 50).await });
    }
    all(writers).await;
    assert_eq!(all(watchers).await, [200; 3]);
}

/// S18: a load is answered while watches have begun to load and are not polled.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn a_watch_that_is_not_polled_delays_no_call(subject: &dyn StoreUnderTest) {
    let key = key("watch-not-polled");
    // Handles that are not connected yet.
    for _ in 0..10 {
        let store = subject.open().await;
        let mut watches: Vec<_> = (0..10).map(|_| store.watch(&key)).collect();
        // Each is polled once.
        let early: Vec<_> = watches.iter_mut().map(|it| it.next().now_or_never()).collect();
        assert_eq!(store.load(&key).await.unwrap(), None);
        for (watch, early) in watches.iter_mut().zip(early) {
            let event = match early {
                Some(event) => event,
                None => next(watch).await,
            };
            assert_eq!(event, WatchEvent::Absent);
        }
    }
}

/// S11: a watch continues after all other handles of its store were dropped.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn a_watch_outlives_its_store_handle(subject: &dyn StoreUnderTest) {
    let key = key("watch-outlives");
    let mut watch = subject.open().await.watch(&key);
    assert_eq!(next(&mut watch).await, WatchEvent::Absent);
    let stored = swap(&*subject.open().await, &key, None, &number_document(1)).await;
    assert_eq!(next(&mut watch).await, WatchEvent::Value(stored));
}

/// S11: a watch returns `Stale` when the store becomes unavailable, and then `Fresh` and the
/// current document.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn a_watch_recovers_from_an_outage(subject: &dyn StoreUnderTest) {
    let key = key("watch-outage");
    let store = subject.open().await;
    let mut watch = store.watch(&key);
    assert_eq!(next(&mut watch).await, WatchEvent::Absent);
    let mut current: Option<Versioned> = None;
    for round in 0..6 {
        if !subject.disconnect().await.is_done("a_watch_recovers_from_an_outage") {
            return;
        }
        let WatchEvent::Stale { why } = next(&mut watch).await else {
            panic!("the store is unavailable")
        };
        assert!(!why.is_empty(), "there is a reason");
        let start = Instant::now();
        let mut new_watch = store.watch(&key);
        assert!(
            matches!(next(&mut new_watch).await, WatchEvent::Stale { .. }),
            "the store is unavailable"
        );
        assert!(start.elapsed() < 2 * CALL_DEADLINE, "S9: after {:?}", start.elapsed());

        subject.reconnect().await;
        if round % 2 == 1 {
            let writer = subject.open().await;
            let expected = current.as_ref().map(|it| &it.revision);
            current = Some(swap(&*writer, &key, expected, &number_document(round)).await);
        }
        for watch in [&mut watch, &mut new_watch] {
            assert_eq!(next(watch).await, WatchEvent::Fresh);
            let mut state = next(watch).await;
            if round % 2 == 1 && state != current_event(current.as_ref()) {
                // The watch read between the reconnect and the write.
                state = next(watch).await;
            }
            assert_eq!(state, current_event(current.as_ref()), "round {round}");
        }
    }
}

fn current_event(current: Option<&Versioned>) -> WatchEvent {
    current.map_or(WatchEvent::Absent, |it| WatchEvent::Value(it.clone()))
}
