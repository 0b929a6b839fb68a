//! Checks of removals and lists.

use tokio::task::JoinSet;

use super::{
    histories::number_event,
    store_under_test::{StoreUnderTest, all, key, next},
    swaps::{number, number_document, swap},
};
use crate::store::{KeyRange, Listed, Removal, StoreKey, Swap, Versioned, WatchEvent};

/// S17 and S5: a removal needs the current revision, exactly one of several succeeds, and a
/// document that is stored again has another revision. The history remains.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn removals_are_exclusive(subject: &dyn StoreUnderTest) {
    let (store, key) = (subject.open().await, key("removals"));
    let mut watch = store.watch(&key);
    assert_eq!(next(&mut watch).await, WatchEvent::Absent);
    let first = swap(&*store, &key, None, &number_document(1)).await;
    let second = swap(&*store, &key, Some(&first.revision), &number_document(1)).await;
    store.append_event(&key, &number_event(7)).await.unwrap();
    let late = store.remove(&key, &first.revision).await.unwrap();
    assert_eq!(late, Removal::Conflict(Some(second.clone())));
    assert_eq!(next(&mut watch).await, WatchEvent::Value(second.clone()));

    let mut removals = JoinSet::new();
    for _ in 0..4 {
        let (store, key, revision) = (subject.open().await, key.clone(), second.revision.clone());
        removals.spawn(async move { store.remove(&key, &revision).await.unwrap() });
    }
    let removals = all(removals).await;
    let count = |expected: &Removal| removals.iter().filter(|it| *it == expected).count();
    assert_eq!((count(&Removal::Done), count(&Removal::Conflict(None))), (1, 3), "{removals:?}");
    assert_eq!(subject.open().await.load(&key).await.unwrap(), None);
    assert_eq!(next(&mut watch).await, WatchEvent::Absent);
    assert_eq!(store.events(&key, 9).await.unwrap(), [number_event(7)], "the history remains");

    let swapped = store.compare_and_swap(&key, Some(&second.revision), &number_document(1)).await;
    assert_eq!(swapped.unwrap(), Swap::Conflict(None), "a swap does not bring it back");
    for _ in 0..2 {
        // The same bytes after the same number of writes.
        let again = swap(&*store, &key, None, &number_document(1)).await;
        assert_ne!(again.revision, first.revision);
        let late = store.remove(&key, &first.revision).await.unwrap();
        assert_eq!(late, Removal::Conflict(Some(again.clone())));
        assert_eq!(store.remove(&key, &again.revision).await.unwrap(), Removal::Done);
    }
}

/// S16: a list contains the documents of its range, in the order of the keys, and nothing else.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn lists_are_complete(subject: &dyn StoreUnderTest) {
    let store = subject.open().await;
    let range = KeyRange::rollouts("listed").expect("the prefix is valid");
    assert!(store.list(&range).await.unwrap().is_empty());

    let (mut stored, mut board) = (Vec::new(), Vec::new());
    for number in (0..60_u64).rev() {
        let name = format!("a{number:02}").parse().expect("the name is valid");
        let key = range.key(&name);
        let document = swap(&*store, &key, None, &number_document(number)).await;
        // Neighbors that are not in the range.
        let _ = swap(&*store, &key.evidence(), None, &number_document(1000)).await;
        for prefix in ["listed/b", "listed-b", "liste", "listed/v1/rollouts"] {
            let other = KeyRange::rollouts(prefix).expect("the prefix is valid").key(&name);
            if number == 0 {
                let _ = swap(&*store, &other, None, &number_document(1001)).await;
            }
        }
        if number < 2 {
            let entry = key.board().key(&"0123456789abcdef".parse().expect("the name is valid"));
            let document = swap(&*store, &entry, None, &number_document(1002)).await;
            board.push((key.board(), entry, document));
        }
        stored.push((key, document));
    }
    let history = range.key(&"without-document".parse().expect("the name is valid"));
    store.append_event(&history, &number_event(1)).await.unwrap();
    stored.reverse();
    let reader = subject.open().await;
    assert_eq!(entries(reader.list(&range).await.unwrap()), stored);

    for (range, entry, document) in board {
        assert_eq!(entries(reader.list(&range).await.unwrap()), [(entry, document)]);
    }

    let (key, removed) = stored.remove(30);
    assert_eq!(store.remove(&key, &removed.revision).await.unwrap(), Removal::Done);
    assert_eq!(entries(reader.list(&range).await.unwrap()), stored);

    // Replaced documents stay in the list.
    let writers = stored.iter().take(4).map(|(key, found)| {
        let (key, mut revision) = (key.clone(), found.revision.clone());
        async move {
            let store = subject.open().await;
            for number in 0..25 {
                let document = number_document(number);
                revision = swap(&*store, &key, Some(&revision), &document).await.revision;
            }
        }
    });
    let lists = async {
        for _ in 0..25 {
            let listed = entries(reader.list(&range).await.unwrap());
            assert_eq!(listed.len(), stored.len(), "a replaced document is missing");
            for ((key, found), (expected, _)) in listed.iter().zip(&stored) {
                assert_eq!(key, expected);
                assert!(number(&found.document) < 60, "{key}: {found:?}");
            }
        }
    };
    tokio::join!(futures_util::future::join_all(writers), lists);
}

fn entries(listed: Vec<Listed>) -> Vec<(StoreKey, Versioned)> {
    let entries = listed.into_iter().map(|Listed { key, document }| (key, document.unwrap()));
    entries.collect()
}
