//! Checks with an unavailable store and with corrupt documents.

use tokio::time::Instant;

use super::{
    histories::number_event,
    store_under_test::{StoreUnderTest, key, next},
    swaps::{number_document, swap},
};
use crate::store::{CALL_DEADLINE, KeyRange, Retry, StoreError, WatchEvent};

/// S8 and S15: while the store is unavailable, each call returns an error in time. A call that
/// returned `Unavailable` has changed nothing.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn calls_end_while_the_store_is_unavailable(subject: &dyn StoreUnderTest) {
    let (store, key) = (subject.open().await, key("call-ends"));
    let first = swap(&*store, &key, None, &number_document(1)).await;
    store.append_event(&key, &number_event(1)).await.unwrap();
    if !subject.disconnect().await.is_done("calls_end_while_the_store_is_unavailable") {
        return;
    }
    let start = Instant::now();
    let loaded = store.load(&key).await.unwrap_err();
    assert_eq!(loaded.retry(), Retry::Later, "{loaded}");
    let listed = store.events(&key, 1).await.unwrap_err();
    assert_eq!(listed.retry(), Retry::Later, "{listed}");
    let range = KeyRange::rollouts(key.prefix()).expect("the prefix is valid");
    let listed = store.list(&range).await.unwrap_err();
    assert_eq!(listed.retry(), Retry::Later, "{listed}");
    let removed = store.remove(&key, &first.revision).await.unwrap_err();
    let next = number_document(2);
    let swapped = store.compare_and_swap(&key, Some(&first.revision), &next).await.unwrap_err();
    let appended = store.append_event(&key, &number_event(2)).await.unwrap_err();
    // Six calls, and a margin for a busy machine.
    assert!(start.elapsed() < 7 * CALL_DEADLINE, "{:?}", start.elapsed());

    subject.reconnect().await;
    let store = subject.open().await;
    let changes = [swapped, removed];
    if changes.iter().all(|error| matches!(error, StoreError::Unavailable { .. })) {
        assert_eq!(store.load(&key).await.unwrap(), Some(first));
    } else {
        for error in changes {
            assert_ne!(error.retry(), Retry::Never, "{error}");
        }
    }
    if matches!(appended, StoreError::Unavailable { .. }) {
        assert_eq!(store.events(&key, 9).await.unwrap(), [number_event(1)]);
    } else {
        assert_eq!(appended.retry(), Retry::AfterLoad, "{appended}");
    }
}

/// S14: bytes that are not a document are reported as corrupt and left unchanged.
///
/// # Panics
///
/// Panics if the store violates the guarantee.
pub async fn corrupt_documents_are_left_unchanged(subject: &dyn StoreUnderTest) {
    let (store, key) = (subject.open().await, key("no-document"));
    let first = swap(&*store, &key, None, &number_document(1)).await;
    let mut watch = store.watch(&key);
    assert_eq!(next(&mut watch).await, WatchEvent::Value(first.clone()));
    let mut is_any_done = false;
    for bytes in
        [&b""[..], b"{", b"\0\0\0\0", b"null", b"{\"number\":1", b"\xff\xfe{}", &[b' '; 1 << 16]]
    {
        // An engine may be unable to store some of the bytes.
        if !subject.corrupt(&key, bytes).await.is_done("corrupt_documents_are_left_unchanged") {
            continue;
        }
        is_any_done = true;
        let store = subject.open().await;
        let loaded = store.load(&key).await.unwrap_err();
        assert!(matches!(loaded, StoreError::Corrupt { .. }), "{loaded}");
        for expected in [None, Some(&first.revision)] {
            let swapped = store.compare_and_swap(&key, expected, &number_document(2)).await;
            let error = swapped.unwrap_err();
            assert!(matches!(error, StoreError::Corrupt { .. }), "{error}");
            assert_eq!(error.retry(), Retry::Never);
        }
        let removed = store.remove(&key, &first.revision).await.unwrap_err();
        assert!(matches!(removed, StoreError::Corrupt { .. }), "{removed}");
        let range = KeyRange::rollouts(key.prefix()).expect("the prefix is valid");
        let listed = store.list(&range).await.unwrap();
        let mut listed = listed.into_iter().filter(|it| it.key == key);
        let error = listed.next().expect("the key is listed").document.unwrap_err();
        assert!(matches!(error, StoreError::Corrupt { .. }), "S16: {error}");
        let mut new_watch = store.watch(&key);
        assert!(matches!(next(&mut new_watch).await, WatchEvent::Stale { .. }));
        assert_eq!(subject.read_raw(&key).await, bytes, "the bytes are unchanged");
    }
    if is_any_done {
        assert!(matches!(next(&mut watch).await, WatchEvent::Stale { .. }));
    }
}
