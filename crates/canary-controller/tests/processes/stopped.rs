//! A process that hangs in the middle of a write (F3, F8, S8, S15).

use canary_controller::store::{
    CALL_DEADLINE, EventRecord, FileStore, StateStore, StoreError, Swap, WatchEvent,
};
use tokio::time::Instant;

use super::child::{Process, Task, document, key};

#[tokio::test(flavor = "multi_thread")]
async fn a_hanging_writer_blocks_other_writers_until_their_deadline() {
    let directory = tempfile::tempdir().unwrap();
    let mut writer = Process::start(Task::SwapOnce, directory.path(), Some("TemporarySynced:1"));
    writer.wait_for("stopped");

    let store = FileStore::open(directory.path()).await.unwrap();
    assert_eq!(store.load(&key()).await.unwrap(), None, "reads need no lock");
    assert_eq!(store.watch(&key()).next().await, WatchEvent::Absent);
    let (key, document, event) = (key(), document(2), EventRecord::try_new("{}").unwrap());
    let begun = Instant::now();
    let (swap, append) = tokio::join!(
        store.compare_and_swap(&key, None, &document),
        store.append_event(&key, &event),
    );
    assert!(begun.elapsed() < 20 * CALL_DEADLINE, "{:?}", begun.elapsed());
    assert!(matches!(swap, Err(StoreError::Unavailable { .. })), "{swap:?}");
    assert!(matches!(append, Err(StoreError::Unavailable { .. })), "{append:?}");

    writer.kill();
    let swap = store.compare_and_swap(&key, None, &document).await.unwrap();
    assert!(matches!(swap, Swap::Done(_)), "the lock is released when its process ends: {swap:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_swap_that_hangs_returns_unknown_whether_it_was_made_or_not() {
    for (point, is_made) in [("TemporarySynced:1", false), ("Renamed:1", true)] {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Process::start(Task::SwapOnce, directory.path(), Some(point));
        writer.wait_for("stopped");
        let result = writer.next_line().expect("the swap gives up after 2 s");
        assert!(result.contains("the outcome is unknown"), "{result}");
        writer.kill();
        let store = FileStore::open(directory.path()).await.unwrap();
        let found = store.load(&key()).await.unwrap().map(|it| it.document);
        assert_eq!(found, is_made.then(|| document(1)), "{point}");
    }
}
