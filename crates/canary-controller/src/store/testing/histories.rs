//! Checks of event histories.

use tokio::task::JoinSet;

use super::store_under_test::{StoreUnderTest, all, key};
use crate::store::EventRecord;

/// S12: `events` returns the last events, oldest first.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn histories_are_ordered(subject: &dyn StoreUnderTest) {
    let key = key("ordered");
    let handles = [subject.open().await, subject.open().await];
    assert_eq!(handles[0].events(&key, 9).await.unwrap(), []);
    for number in 0..20_u64 {
        let writer = &handles[usize::from(number % 2 == 1)];
        writer.append_event(&key, &number_event(number)).await.unwrap();
        for (reader, limit) in [(&handles[0], 1), (&handles[1], 5), (&handles[0], usize::MAX)] {
            let events = reader.events(&key, limit).await.unwrap();
            let first = (number + 1).saturating_sub(limit as u64);
            let expected: Vec<_> = (first..=number).map(number_event).collect();
            assert_eq!(events, expected, "the last {limit} of {}", number + 1);
        }
    }
    assert_eq!(handles[0].events(&key, 0).await.unwrap(), []);
    assert_eq!(handles[0].load(&key).await.unwrap(), None, "an append creates no document");
}

/// S12: the last events are kept, even if all have the maximum length. Old events are dropped.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn histories_are_bounded(subject: &dyn StoreUnderTest) {
    let (store, key) = (subject.open().await, key("bounded"));
    let event = |number: usize| {
        let pad = "x".repeat(EventRecord::MAX_LEN - 24);
        EventRecord::try_new(format!(r#"{{"n":"{number:07}","pad":"{pad}"}}"#))
            .expect("the event is valid")
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
    assert!(kept < all, "all {kept} events are kept: the history has no bound");
}

/// S12: events that are appended concurrently appear exactly once each, in an order that is the
/// same for all readers and preserves the order of each writer.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
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

/// S6: events of any size and content are returned byte for byte.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn events_round_trip(subject: &dyn StoreUnderTest) {
    let (store, key) = (subject.open().await, key("event-size"));
    let mut texts = vec![
        "{}".to_owned(),
        "{ \t\"said\":\"\\n \\u0000 é \u{2028} '; --\", \"n\":1.0 }".to_owned(),
    ];
    for len in [11, 4095, 4096, EventRecord::MAX_LEN - 1, EventRecord::MAX_LEN] {
        texts.push(format!(r#"{{"pad":"{}"}}"#, "x".repeat(len - 10)));
    }
    let events =
        texts.into_iter().map(|text| EventRecord::try_new(text).expect("the event is valid"));
    let events: Vec<_> = events.collect();
    for event in &events {
        store.append_event(&key, event).await.unwrap();
    }
    assert_eq!(store.events(&key, usize::MAX).await.unwrap(), events);
}

pub(super) fn number_event(number: u64) -> EventRecord {
    EventRecord::try_new(format!(r#"{{"number":{number}}}"#)).expect("the event is valid")
}
