//! Checks of swaps and loads.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::store_under_test::{StoreUnderTest, all, key};
use crate::store::{Document, Revision, StateStore, StoreKey, Swap, Versioned};

/// S2: of concurrent creations exactly one succeeds. The others return its document.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn creation_is_exclusive(subject: &dyn StoreUnderTest) {
    let key = key("only-one-creates");
    assert_eq!(subject.open().await.load(&key).await.unwrap(), None);
    let mut creations = JoinSet::new();
    for number in 0..8 {
        let (store, key) = (subject.open().await, key.clone());
        creations.spawn(async move {
            let document = number_document(number);
            (document.clone(), store.compare_and_swap(&key, None, &document).await.unwrap())
        });
    }
    let swaps = all(creations).await;
    let created = swaps.iter().filter_map(|(document, swap)| match swap {
        Swap::Done(revision) => Some(versioned(revision, document)),
        Swap::Conflict(_) => None,
    });
    let created: Vec<_> = created.collect();
    assert_eq!(created.len(), 1, "exactly one creation succeeds");
    let conflicts =
        swaps.iter().filter(|(_, swap)| *swap == Swap::Conflict(Some(created[0].clone())));
    assert_eq!(conflicts.count(), 7, "all other creations return the document");
    assert_eq!(subject.open().await.load(&key).await.unwrap().as_ref(), Some(&created[0]));
}

/// S3 and S4: a swap that expects another revision stores nothing and returns the current document.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn a_conflict_returns_the_current_document(subject: &dyn StoreUnderTest) {
    let (store, key) = (subject.open().await, key("conflicts-carry"));
    let made_up = Revision::new("9223372036854775000");
    let conflict = store.compare_and_swap(&key, Some(&made_up), &number_document(1)).await.unwrap();
    assert_eq!(conflict, Swap::Conflict(None), "there is no document");
    assert_eq!(store.load(&key).await.unwrap(), None);

    let first = swap(&*store, &key, None, &number_document(1)).await;
    let second = swap(&*store, &key, Some(&first.revision), &number_document(2)).await;
    for expected in [None, Some(&first.revision), Some(&made_up)] {
        let conflict = store.compare_and_swap(&key, expected, &number_document(3)).await.unwrap();
        assert_eq!(conflict, Swap::Conflict(Some(second.clone())), "{expected:?} was expected");
    }
    assert_eq!(store.load(&key).await.unwrap(), Some(second));
}

/// S1: every handle loads the last acknowledged swap of any handle.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn loads_see_acknowledged_swaps(subject: &dyn StoreUnderTest) {
    let key = key("swaps-are-seen");
    let handles = [subject.open().await, subject.open().await, subject.open().await];
    let mut revision = None;
    for number in 0..30 {
        let writer = &handles[number % handles.len()];
        let stored =
            swap(&**writer, &key, revision.as_ref(), &number_document(number as u64)).await;
        for reader in &handles {
            assert_eq!(reader.load(&key).await.unwrap().as_ref(), Some(&stored));
        }
        revision = Some(stored.revision);
    }
}

/// S3: 400 increments by four concurrent tasks result in 400.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn concurrent_increments_are_not_lost(subject: &dyn StoreUnderTest) {
    let key = key("increments-add-up");
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (store, key) = (subject.open().await, key.clone());
        tasks.spawn(async move { increment(store, &key, 100).await });
    }
    all(tasks).await;
    let sum = subject.open().await.load(&key).await.unwrap().expect("the document exists");
    assert_eq!(number(&sum.document), 400);
}

/// S5: storing the same bytes again changes the revision, and no revision is used again.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn revisions_are_never_reused(subject: &dyn StoreUnderTest) {
    let (store, key) = (subject.open().await, key("revisions"));
    let (this, that) = (number_document(1), number_document(2));
    let mut seen: Vec<Versioned> = Vec::new();
    for document in [&this, &this, &that, &this, &that, &that] {
        let expected = seen.last().map(|it| &it.revision);
        let stored = swap(&*store, &key, expected, document).await;
        assert!(seen.iter().all(|it| it.revision != stored.revision), "{seen:?}, then {stored:?}");
        seen.push(stored);
    }
    let last = seen.pop().expect("a document was stored");
    for old in seen {
        let conflict = store.compare_and_swap(&key, Some(&old.revision), &this).await.unwrap();
        assert_eq!(conflict, Swap::Conflict(Some(last.clone())));
    }
}

/// S6: documents of any size and content are returned byte for byte.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn documents_round_trip(subject: &dyn StoreUnderTest) {
    let (store, key) = (subject.open().await, key("any-size"));
    let mut texts = vec![
        "{}".to_owned(),
        "{ }".to_owned(),
        "{\r\n\t\"b\": 1.00,\n\n \"a\":\"\\u0000 \\\" é \u{1F424} '; --\",\"a\":-0 }".to_owned(),
    ];
    for len in [11, 4095, 4096, 4097, Document::MAX_LEN - 1, Document::MAX_LEN] {
        texts.push(format!(r#"{{"pad":"{}"}}"#, "x".repeat(len - 10)));
    }
    let mut revision = None;
    for text in texts {
        let document = Document::try_new(text).expect("the document is valid");
        let stored = swap(&*store, &key, revision.as_ref(), &document).await;
        let loaded = subject.open().await.load(&key).await.unwrap();
        assert_eq!(loaded.as_ref(), Some(&stored));
        revision = Some(stored.revision);
    }
}

/// S13: similar keys have independent documents and events.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn keys_are_independent(subject: &dyn StoreUnderTest) {
    let store = subject.open().await;
    let longest = "a".repeat(63);
    let keys: Vec<StoreKey> = [
        ("apart", "a"),
        ("apart", "a-"),
        ("apart", "aa"),
        ("apart/a", "a"),
        ("apart-a", "a"),
        ("apart/v1/rollouts", "a"),
        ("apart", "v1"),
        ("apart", "events"),
        ("apart", "json"),
        ("apart", "a-events"),
        ("apart", "canary-lock"),
        ("apart", &longest),
        (&longest, "a"),
        (&longest, &longest),
        ("-", "-"),
        ("0", "0"),
    ]
    .map(|(prefix, name)| {
        StoreKey::try_new(prefix, &name.parse().expect("the name is valid"))
            .expect("the prefix is valid")
    })
    .into();
    for (number, key) in keys.iter().enumerate() {
        assert_eq!(store.load(key).await.unwrap(), None, "{key}");
        assert_eq!(store.events(key, 9).await.unwrap(), [], "{key}");
        swap(&*store, key, None, &number_document(number as u64)).await;
        let event = super::histories::number_event(number as u64);
        store.append_event(key, &event).await.unwrap();
    }
    for (expected, key) in keys.iter().enumerate() {
        let loaded = store.load(key).await.unwrap().expect("the document was stored");
        assert_eq!(number(&loaded.document), expected as u64, "{key}");
        let events = store.events(key, 9).await.unwrap();
        assert_eq!(events, [super::histories::number_event(expected as u64)], "{key}");
    }
}

/// Increments the number in a document, concurrently with other writers.
pub(super) async fn increment(store: Arc<dyn StateStore>, key: &StoreKey, times: u64) {
    let mut current = store.load(key).await.unwrap();
    for _ in 0..times {
        loop {
            let sum = current.as_ref().map_or(0, |it| number(&it.document)) + 1;
            let expected = current.as_ref().map(|it| &it.revision);
            match store.compare_and_swap(key, expected, &number_document(sum)).await.unwrap() {
                Swap::Done(revision) => {
                    current = Some(versioned(&revision, &number_document(sum)));
                    break;
                }
                Swap::Conflict(newer) => current = newer,
            }
        }
    }
}

/// Makes a swap. Panics on a conflict.
pub(super) async fn swap(
    store: &dyn StateStore,
    key: &StoreKey,
    expected: Option<&Revision>,
    document: &Document,
) -> Versioned {
    match store.compare_and_swap(key, expected, document).await.unwrap() {
        Swap::Done(revision) => versioned(&revision, document),
        Swap::Conflict(it) => panic!("expected {expected:?} without other writers, found {it:?}"),
    }
}

pub(super) fn number_document(number: u64) -> Document {
    Document::try_new(format!(r#"{{"number":{number}}}"#)).expect("the document is valid")
}

pub(super) fn number(document: &Document) -> u64 {
    let digits = document.as_str().trim_start_matches(r#"{"number":"#).trim_end_matches('}');
    digits.parse().expect("the document holds a number")
}

fn versioned(revision: &Revision, document: &Document) -> Versioned {
    Versioned { revision: revision.clone(), document: document.clone() }
}
