//! What histories of events must do.

use tokio::task::JoinSet;

use super::store_under_test::{StoreUnderTest, all, key};
use crate::store::EventRecord;

/// S12: events come back in their order, the last of them, the oldest first.
///
/// # Panics
///
/// If the store breaks the promise.
pub async fn histories_are_ordered(subject: &dyn StoreUnderTest) {
    let key = key("ordered");
    let handles = [subject.open().await, subject.open().await];
    assert_eq!(handles[0].events(&key, 9).await.unwrap(), []);
    for number in 0..20_u64 {
        let writer = &handles[usize::from(number % 2 == 1)];
        writer.append_event(&key, &number_event(number)).await.unwrap();
        for (reader, most) in [(&handles[0], 1), (&handles[1], 5), (&handles[0], usize::MAX)] {
            let events = reader.events(&key, most).await.unwrap();
            let first = (number + 1).saturating_sub(most as u64);
            let expected: Vec<_> = (first..=number).map(number_event).collect();
            assert_eq!(events, expected, "the last {most} of {}", number + 1);
        }
    }
    assert_eq!(handles[0].events(&key, 0).await.unwrap(), []);
    assert_eq!(handles[0].load(&key).await.unwrap(), None, "an event makes no document");
}

/// S12: the last events are kept, however long they are, and the first are not kept for ever.
///
/// # Panics
///
/// If the store breaks the promise.
pub async fn histories_are_bounded(subject: &dyn StoreUnderTest) {
    let (store, key) = (subject.open().await, key("bounded"));
    let event = |number: usize| {
        let pad = "x".repeat(EventRecord::MAX_LEN - 24);
        EventRecord::try_new(format!(r#"{{"n":"{number:07}","pad":"{pad}"}}"#))
            .expect("it is an event")
    };
    assert_eq!(event(0).as_bytes().len(), EventRecord::MAX_LEN);
    let all = 4 * EventRecord::MIN_KEPT + 3;
    for number in 0..all {
        store.append_event(&key, &event(number)).await.unwrap();
        if number % 97 == 0 || number + 1 == all {
            let kept = store.events(&key, usize::MAX).await.unwrap();
            assert!(
                kept.len() >= EventRecord::MIN_KEPT.min(number + 1),
                "{} of {number} are kept",
                kept.len()
            );
            let expected: Vec<_> = (number + 1 - kept.len()..=number).map(event).collect();
            assert!(kept == expected, "the last {} are kept", kept.len());
        }
    }
    let kept = store.events(&key, usize::MAX).await.unwrap().len();
    assert!(kept < all, "all {kept} events are kept: is there a bound?");
}

/// S12: events that are appended at once are all there, each once, in an order on which readers
/// agree and which keeps that of each writer.
///
/// # Panics
///
/// If the store breaks the promise.
pub async fn concurrent_appends_have_one_order(subject: &dyn StoreUnderTest) {
    let key = key("race");
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let (store, key) = (subject.open().await, key.clone());
        writers.spawn(async move {
            for number in 0..25 {
                store.append_event(&key, &number_event(writer * 100 + number)).await.unwrap();
            }
        });
    }
    all(writers).await;
    let events = subject.open().await.events(&key, usize::MAX).await.unwrap();
    assert_eq!(events, subject.open().await.events(&key, usize::MAX).await.unwrap());
    for writer in 0..4 {
        let own: Vec<_> = (0..25).map(|number| number_event(writer * 100 + number)).collect();
        let found: Vec<_> = events.iter().filter(|event| own.contains(event)).cloned().collect();
        assert_eq!(found, own);
    }
    assert_eq!(events.len(), 100);
}

/// S6: an event of any size and of any text comes back byte for byte.
///
/// # Panics
///
/// If the store breaks the promise.
pub async fn events_round_trip(subject: &dyn StoreUnderTest) {
    let (store, key) = (subject.open().await, key("event-size"));
    let mut texts = vec![
        "{}".to_owned(),
        "{ \t\"said\":\"\\n \\u0000 é \u{2028} '; --\", \"n\":1.0 }".to_owned(),
    ];
    for len in [11, 4095, 4096, EventRecord::MAX_LEN - 1, EventRecord::MAX_LEN] {
        texts.push(format!(r#"{{"pad":"{}"}}"#, "x".repeat(len - 10)));
    }
    let events = texts.into_iter().map(|text| EventRecord::try_new(text).expect("it is an event"));
    let events: Vec<_> = events.collect();
    for event in &events {
        store.append_event(&key, event).await.unwrap();
    }
    assert_eq!(store.events(&key, usize::MAX).await.unwrap(), events);
}

pub(super) fn number_event(number: u64) -> EventRecord {
    EventRecord::try_new(format!(r#"{{"number":{number}}}"#)).expect("it is an event")
}
