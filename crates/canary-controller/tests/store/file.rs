//! The files of a `FileStore`, and its reaction to files that it did not write.

use std::{
    fs,
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
};

use canary_controller::store::{
    Document, EventRecord, FileStore, Retry, Revision, StateStore, StoreError, StoreKey, Swap,
};
use tempfile::TempDir;

fn key() -> StoreKey {
    StoreKey::try_new("prod/shop", &"checkout".parse().unwrap()).unwrap()
}

fn document(number: u64) -> Document {
    Document::try_new(format!(r#"{{"number":{number}}}"#)).unwrap()
}

fn event(number: u64) -> EventRecord {
    EventRecord::try_new(format!(r#"{{"number":{number}}}"#)).unwrap()
}

async fn swap(store: &FileStore, expected: Option<&Revision>, document: Document) -> Revision {
    let swap = store.compare_and_swap(&key(), expected, &document).await.unwrap();
    let Swap::Done(revision) = swap else { panic!("a conflict without other writers: {swap:?}") };
    revision
}

/// Returns a store with one document and three events.
async fn populated() -> (TempDir, FileStore, Revision) {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path().join("a/store")).await.unwrap();
    let revision = swap(&store, None, document(1)).await;
    for number in 1..=3 {
        store.append_event(&key(), &event(number)).await.unwrap();
    }
    (directory, store, revision)
}

fn file(store: &FileStore, suffix: &str) -> PathBuf {
    store.directory().join(format!("prod.shop.v1.rollouts.checkout.{suffix}"))
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// F5.
#[tokio::test]
async fn files_are_readable_by_the_owner_only() {
    let (_directory, store, _) = populated().await;
    assert_eq!(mode(store.directory()), 0o700);
    let files = fs::read_dir(store.directory()).unwrap().map(|it| it.unwrap().path());
    let files: Vec<_> = files.collect();
    assert_eq!(files.len(), 3, "a document, a history, a lock: {files:?}");
    for file in files {
        assert_eq!(mode(&file), 0o600, "{}", file.display());
    }
}

/// F5.
#[tokio::test]
async fn an_existing_directory_keeps_its_mode() {
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o750)).unwrap();
    FileStore::open(directory.path()).await.unwrap();
    assert_eq!(mode(directory.path()), 0o750);
}

/// S5.
#[tokio::test]
async fn a_document_can_be_edited_by_hand() {
    let (_directory, store, revision) = populated().await;
    let path = file(&store, "json");
    let text = fs::read_to_string(&path).unwrap();
    let count = text.split(['[', ',', ':']).nth(3).unwrap();
    assert!(count.parse::<u64>().is_ok(), "{text}");
    let expected = "{\"format\":1,\"count\":N,\"document\":\n{\"number\":1}\n}\n";
    assert_eq!(text.replacen(count, "N", 1), expected);
    fs::write(&path, text.replace("{\"number\":1}", "{\n  \"number\": 2\n}")).unwrap();
    let edited = store.load(&key()).await.unwrap().unwrap();
    assert_eq!(edited.document.as_str(), "{\n  \"number\": 2\n}");
    let late = store.compare_and_swap(&key(), Some(&revision), &document(3)).await.unwrap();
    assert_eq!(late, Swap::Conflict(Some(edited)), "a swap does not overwrite an unseen edit");
}

/// F4 and F5.
#[tokio::test]
async fn the_next_write_removes_temporary_files_and_follows_no_link() {
    let (directory, store, first) = populated().await;
    let temporary = file(&store, "json.tmp");
    fs::write(&temporary, "{\"format\":1,\"count\":9,\"docu").unwrap();
    fs::set_permissions(&temporary, fs::Permissions::from_mode(0o644)).unwrap();
    let second = swap(&store, Some(&first), document(2)).await;
    assert!(!temporary.exists());
    assert_eq!(mode(&file(&store, "json")), 0o600, "the mode of the old file is not kept");

    let other = directory.path().join("other");
    fs::write(&other, "unrelated").unwrap();
    symlink(&other, &temporary).unwrap();
    swap(&store, Some(&second), document(3)).await;
    assert_eq!(fs::read_to_string(other).unwrap(), "unrelated", "the link is not followed");
    assert_eq!(store.load(&key()).await.unwrap().unwrap().document, document(3));
}

/// F4.
#[tokio::test]
async fn opening_a_directory_removes_temporary_files() {
    let (_directory, store, _) = populated().await;
    let temporary = file(&store, "json.tmp");
    fs::write(&temporary, "{").unwrap();
    // A held lock means that the temporary file may belong to a write in progress.
    let lock = fs::File::open(store.directory().join("canary.lock")).unwrap();
    lock.lock().unwrap();
    FileStore::open(store.directory()).await.unwrap();
    assert!(temporary.exists());
    drop(lock);
    FileStore::open(store.directory()).await.unwrap();
    assert!(!temporary.exists());
}

/// F2.
#[tokio::test]
async fn a_torn_line_is_ignored_and_removed_by_the_next_append() {
    for half in ["{\"number\":4", "{\"number\":4}", "\0\0\0"] {
        let (_directory, store, _) = populated().await;
        let mut events =
            fs::File::options().append(true).open(file(&store, "events.jsonl")).unwrap();
        events.write_all(half.as_bytes()).unwrap();
        let three: Vec<_> = (1..=3).map(event).collect();
        assert_eq!(store.events(&key(), 9).await.unwrap(), three, "{half:?}");
        store.append_event(&key(), &event(5)).await.unwrap();
        let text = fs::read_to_string(file(&store, "events.jsonl")).unwrap();
        assert!(text.ends_with("{\"number\":3}\n{\"number\":5}\n"), "{text}");
    }
}

/// F2.
#[tokio::test]
async fn a_complete_line_that_is_not_an_event_is_ignored_and_kept() {
    let (_directory, store, _) = populated().await;
    let path = file(&store, "events.jsonl");
    let text = fs::read_to_string(&path).unwrap().replace("{\"number\":2}", "\0\0\0");
    fs::write(&path, &text).unwrap();
    store.append_event(&key(), &event(4)).await.unwrap();
    assert_eq!(store.events(&key(), 3).await.unwrap(), [1, 3, 4].map(event));
    assert!(fs::read_to_string(path).unwrap().starts_with(&text));
}

/// S12.
#[tokio::test]
async fn a_history_has_at_most_two_files_of_two_mebibytes() {
    let (_directory, store, _) = populated().await;
    let long = EventRecord::try_new(format!(r#"{{"pad":"{}"}}"#, "x".repeat(8182))).unwrap();
    assert_eq!(long.as_bytes().len(), EventRecord::MAX_LEN);
    let line = [long.as_bytes(), &b"\n"[..]].concat();
    // The file is full: another event needs a rotation.
    fs::write(file(&store, "events.jsonl"), line.repeat(256)).unwrap();
    fs::write(file(&store, "events.1.jsonl"), "{}\n").unwrap();
    assert_eq!(store.events(&key(), usize::MAX).await.unwrap().len(), 257);
    store.append_event(&key(), &event(1)).await.unwrap();
    let len = |suffix| fs::metadata(file(&store, suffix)).unwrap().len();
    assert_eq!((len("events.jsonl"), len("events.1.jsonl")), (13, 256 * 8193));
    assert_eq!(store.events(&key(), usize::MAX).await.unwrap().len(), 257);
}

/// F6 and S14.
#[tokio::test]
async fn an_error_names_the_file_and_the_expectation() {
    let (_directory, store, _) = populated().await;
    let path = file(&store, "json");
    fs::write(&path, "{\"format\":1,\"count\":1,\"document\":7}").unwrap();
    let error = store.load(&key()).await.unwrap_err();
    assert!(matches!(error, StoreError::Corrupt { .. }), "{error:?}");
    let message = "load /prod/shop/v1/rollouts/checkout: the stored bytes are not a document";
    assert_eq!(error.to_string(), message);
    let source = std::error::Error::source(&error).unwrap().to_string();
    let why = "document of 1 bytes: expected one JSON object, from '{' to '}', in UTF-8";
    assert_eq!(source, format!("{}: {why}", path.display()));
    // `main` prints errors with `Debug`.
    assert_eq!(format!("{error:?}"), format!("{message}: {source}"));
}

#[tokio::test]
async fn an_error_names_a_directory_that_cannot_be_created() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "").unwrap();
    let error = FileStore::open(path.join("store")).await.unwrap_err();
    assert_eq!(error.retry(), Retry::Later);
    assert!(error.to_string().contains("file/store"), "{error}");
}

/// S5.
#[tokio::test]
async fn a_deleted_document_is_absent_and_can_be_created_again() {
    let (_directory, store, first) = populated().await;
    fs::remove_file(file(&store, "json")).unwrap();
    assert_eq!(store.load(&key()).await.unwrap(), None);
    let stale = store.compare_and_swap(&key(), Some(&first), &document(2)).await.unwrap();
    assert_eq!(stale, Swap::Conflict(None));
    assert_ne!(swap(&store, None, document(2)).await, first, "S5: revisions are not reused");
}
