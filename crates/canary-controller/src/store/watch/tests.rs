use std::{collections::VecDeque, sync::Arc};

use tokio::{
    sync::Notify,
    time::{Instant, advance},
};

use super::*;
use crate::store::Document;

/// A source with a list of results for `load` and `changed`. It hangs after the last one.
#[derive(Default)]
struct ScriptedSource {
    loads: VecDeque<ScriptedLoad>,
    waits: VecDeque<ScriptedWait>,
    hung: Arc<Notify>,
}

enum ScriptedLoad {
    Returns(Option<u64>),
    Fails,
    Panics,
    Hangs,
}

enum ScriptedWait {
    Changes,
    Fails,
}

impl WatchSource for ScriptedSource {
    fn load(&mut self) -> StoreFuture<'_, Option<Versioned>> {
        let load = self.loads.pop_front();
        Box::pin(async move {
            match load {
                Some(ScriptedLoad::Returns(state)) => Ok(state.map(versioned)),
                Some(ScriptedLoad::Fails) => Err(StoreError::unavailable("load", "down")),
                Some(ScriptedLoad::Panics) => panic!("a bug of the store"),
                Some(ScriptedLoad::Hangs) | None => hang(&self.hung).await,
            }
        })
    }

    fn changed(&mut self) -> StoreFuture<'_, ()> {
        let wait = self.waits.pop_front();
        Box::pin(async move {
            match wait {
                Some(ScriptedWait::Changes) => Ok(()),
                Some(ScriptedWait::Fails) => Err(StoreError::unavailable("wait", "disconnected")),
                None => hang(&self.hung).await,
            }
        })
    }
}

async fn hang(hung: &Notify) -> ! {
    hung.notify_one();
    future::pending().await
}

fn versioned(number: u64) -> Versioned {
    Versioned {
        revision: Revision::new(number.to_string()),
        document: Document::try_new("{}").unwrap(),
    }
}

fn value(number: u64) -> WatchEvent {
    WatchEvent::Value(versioned(number))
}

fn watch(
    loads: impl IntoIterator<Item = ScriptedLoad>,
    waits: impl IntoIterator<Item = ScriptedWait>,
) -> (DocumentWatch, Arc<Notify>) {
    let hung = Arc::<Notify>::default();
    let (loads, waits) = (loads.into_iter().collect(), waits.into_iter().collect());
    (DocumentWatch::new(ScriptedSource { loads, waits, hung: hung.clone() }), hung)
}

#[tokio::test(start_paused = true)]
#[should_panic(expected = "a bug of the store")]
async fn a_panic_of_the_source_reaches_the_reader() {
    let (mut watch, _) = watch([ScriptedLoad::Panics], []);
    watch.next().await;
}

#[tokio::test(start_paused = true)]
async fn an_unchanged_document_is_not_reported_again() {
    let loads = [
        ScriptedLoad::Returns(Some(1)),
        ScriptedLoad::Returns(Some(1)),
        ScriptedLoad::Returns(Some(2)),
        ScriptedLoad::Returns(None),
    ];
    let waits = [ScriptedWait::Changes, ScriptedWait::Changes, ScriptedWait::Changes];
    let (mut watch, _) = watch(loads, waits);
    for expected in [value(1), value(2), WatchEvent::Absent] {
        assert_eq!(watch.next().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn an_interruption_is_reported_once_and_followed_by_the_current_state() {
    let loads = [
        ScriptedLoad::Returns(Some(1)),
        ScriptedLoad::Fails,
        ScriptedLoad::Fails,
        ScriptedLoad::Returns(Some(1)),
        ScriptedLoad::Returns(Some(2)),
    ];
    let (mut watch, _) = watch(loads, [ScriptedWait::Fails, ScriptedWait::Changes]);
    assert_eq!(watch.next().await, value(1));
    assert_eq!(watch.next().await, WatchEvent::Stale { why: unavailable("wait", "disconnected") });
    for expected in [WatchEvent::Fresh, value(1), value(2)] {
        assert_eq!(watch.next().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_is_stale_within_two_seconds_if_the_first_load_hangs() {
    let (mut watch, _) = watch([ScriptedLoad::Hangs, ScriptedLoad::Returns(None)], []);
    let start = Instant::now();
    assert!(matches!(watch.next().await, WatchEvent::Stale { .. }));
    assert!(start.elapsed() <= CALL_DEADLINE + Duration::from_millis(10), "{:?}", start.elapsed());
    assert_eq!(watch.next().await, WatchEvent::Fresh);
    assert_eq!(watch.next().await, WatchEvent::Absent);
}

#[tokio::test(start_paused = true)]
async fn a_watch_loads_every_thirty_seconds_without_notifications() {
    let (mut watch, _) = watch(
        [
            ScriptedLoad::Returns(Some(1)),
            ScriptedLoad::Returns(Some(1)),
            ScriptedLoad::Returns(Some(2)),
        ],
        [],
    );
    assert_eq!(watch.next().await, value(1));
    let start = Instant::now();
    assert_eq!(watch.next().await, value(2));
    assert_eq!(start.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn dropping_the_future_of_next_does_not_delay_the_next_load() {
    let (mut watch, hung) =
        watch([ScriptedLoad::Returns(Some(1)), ScriptedLoad::Returns(Some(2))], []);
    assert_eq!(watch.next().await, value(1));
    let start = Instant::now();
    for _ in 0..29 {
        assert!(
            timeout(Duration::from_secs(1), watch.next()).await.is_err(),
            "there was no change"
        );
    }
    hung.notified().await;
    advance(Duration::from_secs(1)).await;
    assert_eq!(watch.next().await, value(2));
    assert_eq!(start.elapsed().as_secs(), 30);
}

/// A source whose load takes a second, and holds a lock meanwhile.
struct LockedSource {
    lock: Arc<tokio::sync::Mutex<()>>,
}

impl WatchSource for LockedSource {
    fn load(&mut self) -> StoreFuture<'_, Option<Versioned>> {
        Box::pin(async {
            let _guard = self.lock.lock().await;
            sleep(Duration::from_secs(1)).await;
            Ok(None)
        })
    }

    fn changed(&mut self) -> StoreFuture<'_, ()> {
        Box::pin(future::pending())
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_goes_on_while_the_watch_is_not_polled() {
    let lock = Arc::<tokio::sync::Mutex<()>>::default();
    let mut watch = DocumentWatch::new(LockedSource { lock: Arc::clone(&lock) });
    let start = Instant::now();
    assert!(timeout(Duration::from_millis(10), watch.next()).await.is_err(), "it loads");
    let _guard = timeout(CALL_DEADLINE, lock.lock()).await.expect("the load ends");
    assert_eq!(start.elapsed().as_millis(), 1000);
    assert_eq!(watch.next().await, WatchEvent::Absent);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_watch_ends_its_load() {
    let lock = Arc::<tokio::sync::Mutex<()>>::default();
    let mut watch = DocumentWatch::new(LockedSource { lock: Arc::clone(&lock) });
    assert!(timeout(Duration::from_millis(10), watch.next()).await.is_err(), "it loads");
    let start = Instant::now();
    drop(watch);
    let _guard = lock.lock().await;
    assert!(start.elapsed().as_millis() < 10, "{:?}", start.elapsed());
}

#[test]
fn delays_grow_to_a_second_and_have_jitter() {
    for (failures, max) in [(0, 50), (1, 100), (3, 400), (5, 1000), (60, 1000)] {
        let delays: Vec<_> = (0..100).map(|_| backoff(failures)).collect();
        let (min, max) = (Duration::from_millis(max / 2), Duration::from_millis(max));
        assert!(delays.iter().all(|delay| (min..=max).contains(delay)), "{delays:?}");
        assert!(delays.iter().any(|delay| *delay != delays[0]), "{delays:?}");
    }
}

fn unavailable(operation: &str, why: &str) -> String {
    format!("{operation}: the store is unavailable: {why}")
}
