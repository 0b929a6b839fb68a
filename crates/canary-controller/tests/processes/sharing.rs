//! Several processes use a directory at the same time (S3, S10).

use std::time::Duration;

use canary_controller::store::{FileStore, StateStore, WatchEvent};
use tokio::time::timeout;

use super::child::{Process, Task, document, key, number};

#[tokio::test(flavor = "multi_thread")]
async fn increments_by_four_processes_add_up_and_a_fifth_watches_them() {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path()).await.unwrap();
    let mut watch = store.watch(&key());
    assert_eq!(watch.next().await, WatchEvent::Absent);

    let processes: [_; 4] =
        std::array::from_fn(|_| Process::start(Task::Increment, directory.path(), None));
    let mut last = 0;
    while last < 400 {
        let next = timeout(Duration::from_secs(60), watch.next()).await;
        let WatchEvent::Value(it) = next.expect("the number increases") else {
            panic!("expected a value")
        };
        let seen = number(it.document.as_str());
        assert!(seen > last, "{last}, then {seen}");
        last = seen;
    }
    processes.into_iter().for_each(Process::wait);
    assert_eq!(store.load(&key()).await.unwrap().unwrap().document, document(400));
}
