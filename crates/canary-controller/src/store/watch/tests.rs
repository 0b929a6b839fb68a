use std::{collections::VecDeque, sync::Arc};

use tokio::{
    sync::Notify,
    time::{Instant, advance},
};

use super::*;
use crate::store::Document;

/// What a source answers to loads and waits, in their order. When the answers are used up, it
/// hangs.
#[derive(Default)]
struct ScriptedSource {
    loads: VecDeque<ScriptedLoad>,
    waits: VecDeque<ScriptedWait>,
    hung: Arc<Notify>,
}

enum ScriptedLoad {
    Is(Option<u64>),
    Fails,
    Hangs,
}

enum ScriptedWait {
    Changes,
    Breaks,
}

impl WatchSource for ScriptedSource {
    fn load(&mut self) -> StoreFuture<'_, Option<Versioned>> {
        let load = self.loads.pop_front();
        Box::pin(async move {
            match load {
                Some(ScriptedLoad::Is(state)) => Ok(state.map(versioned)),
                Some(ScriptedLoad::Fails) => Err(StoreError::unavailable("load", "it is away")),
                Some(ScriptedLoad::Hangs) | None => hang(&self.hung).await,
            }
        })
    }

    fn changed(&mut self) -> StoreFuture<'_, ()> {
        let wait = self.waits.pop_front();
        Box::pin(async move {
            match wait {
                Some(ScriptedWait::Changes) => Ok(()),
                Some(ScriptedWait::Breaks) => Err(StoreError::unavailable("wait", "it broke")),
                None => hang(&self.hung).await,
            }
        })
    }
}

async fn hang(hung: &Notify) -> ! {
    hung.notify_one();
    std::future::pending().await
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
async fn what_has_not_changed_is_not_told_again() {
    let loads = [
        ScriptedLoad::Is(Some(1)),
        ScriptedLoad::Is(Some(1)),
        ScriptedLoad::Is(Some(2)),
        ScriptedLoad::Is(None),
    ];
    let waits = [ScriptedWait::Changes, ScriptedWait::Changes, ScriptedWait::Changes];
    let (mut watch, _) = watch(loads, waits);
    for expected in [value(1), value(2), WatchEvent::Absent] {
        assert_eq!(watch.next().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_break_is_told_once_and_followed_by_what_there_is() {
    let loads = [
        ScriptedLoad::Is(Some(1)),
        ScriptedLoad::Fails,
        ScriptedLoad::Fails,
        ScriptedLoad::Is(Some(1)),
        ScriptedLoad::Is(Some(2)),
    ];
    let (mut watch, _) = watch(loads, [ScriptedWait::Breaks, ScriptedWait::Changes]);
    assert_eq!(watch.next().await, value(1));
    assert_eq!(watch.next().await, WatchEvent::Stale { why: broken("wait", "it broke") });
    for expected in [WatchEvent::Fresh, value(1), value(2)] {
        assert_eq!(watch.next().await, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_load_that_hangs_at_the_start_is_stale_within_two_seconds() {
    let (mut watch, _) = watch([ScriptedLoad::Hangs, ScriptedLoad::Is(None)], []);
    let begun = Instant::now();
    assert!(matches!(watch.next().await, WatchEvent::Stale { .. }));
    assert!(begun.elapsed() <= CALL_DEADLINE + Duration::from_millis(10), "{:?}", begun.elapsed());
    assert_eq!(watch.next().await, WatchEvent::Fresh);
    assert_eq!(watch.next().await, WatchEvent::Absent);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_is_deaf_is_loaded_every_thirty_seconds() {
    let (mut watch, _) = watch(
        [ScriptedLoad::Is(Some(1)), ScriptedLoad::Is(Some(1)), ScriptedLoad::Is(Some(2))],
        [],
    );
    assert_eq!(watch.next().await, value(1));
    let begun = Instant::now();
    assert_eq!(watch.next().await, value(2));
    assert_eq!(begun.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_comes_and_goes_does_not_put_off_the_next_load() {
    let (mut watch, hung) = watch([ScriptedLoad::Is(Some(1)), ScriptedLoad::Is(Some(2))], []);
    assert_eq!(watch.next().await, value(1));
    let begun = Instant::now();
    for _ in 0..29 {
        assert!(timeout(Duration::from_secs(1), watch.next()).await.is_err(), "nothing to tell");
    }
    hung.notified().await;
    advance(Duration::from_secs(1)).await;
    assert_eq!(watch.next().await, value(2));
    assert_eq!(begun.elapsed().as_secs(), 30);
}

#[test]
fn waits_grow_to_a_second_and_differ() {
    for (attempts, longest) in [(0, 50), (1, 100), (3, 400), (5, 1000), (60, 1000)] {
        let waits: Vec<_> = (0..100).map(|_| backoff(attempts)).collect();
        let (least, most) = (Duration::from_millis(longest / 2), Duration::from_millis(longest));
        assert!(waits.iter().all(|wait| (least..=most).contains(wait)), "{waits:?}");
        assert!(waits.iter().any(|wait| *wait != waits[0]), "{waits:?}");
    }
}

fn broken(asked: &str, why: &str) -> String {
    format!("{asked}: the store is out of reach: {why}")
}
