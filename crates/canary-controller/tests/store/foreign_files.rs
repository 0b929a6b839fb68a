//! Files that another user of the machine has put into the directory of a `FileStore` (F9).

use std::{
    fs::{self, Permissions},
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    time::Instant,
};

use canary_controller::store::{
    CALL_DEADLINE, Document, EventRecord, FileStore, KeyRange, Retry, StateStore, StoreKey, Swap,
};
use tempfile::TempDir;
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

fn key(name: &str) -> StoreKey {
    StoreKey::try_new("prod", &name.parse().unwrap()).unwrap()
}

fn document() -> Document {
    Document::try_new(r#"{"number":1}"#).unwrap()
}

fn event() -> EventRecord {
    EventRecord::try_new(r#"{"number":1}"#).unwrap()
}

fn path(store: &FileStore, suffix: &str) -> PathBuf {
    store.directory().join(format!("prod.v1.rollouts.shop.{suffix}"))
}

async fn store() -> (TempDir, FileStore) {
    let directory = tempfile::tempdir().unwrap();
    let store = FileStore::open(directory.path().join("store")).await.unwrap();
    (directory, store)
}

fn make_pipe(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn refusal(error: &canary_controller::store::StoreError) -> String {
    assert_eq!(error.retry(), Retry::Never, "{error:?}");
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        text += &format!("{error}: ");
        cause = error.source();
    }
    text
}

#[tokio::test]
async fn a_link_in_place_of_a_file_is_not_followed() {
    let (directory, store) = store().await;
    let victim = directory.path().join("victim");
    let text = "{\"format\":1,\"count\":1,\"document\":\n{\"secret\":1}\n}\nno newline at the end";
    for suffix in ["json", "events.jsonl", "events.1.jsonl"] {
        fs::write(&victim, text).unwrap();
        symlink(&victim, path(&store, suffix)).unwrap();
        let error = if suffix == "json" {
            let swap = store.compare_and_swap(&key("shop"), None, &document()).await;
            refusal(&swap.unwrap_err());
            store.load(&key("shop")).await.unwrap_err()
        } else {
            store.events(&key("shop"), 9).await.unwrap_err()
        };
        let error = refusal(&error);
        assert!(error.contains("expected a regular file"), "{error}");
        assert!(error.contains(suffix), "{error}");
        if suffix == "events.jsonl" {
            refusal(&store.append_event(&key("shop"), &event()).await.unwrap_err());
        }
        assert_eq!(fs::read_to_string(&victim).unwrap(), text, "{suffix}");
        fs::remove_file(path(&store, suffix)).unwrap();
    }
}

#[tokio::test]
async fn a_link_in_place_of_the_lock_is_not_followed() {
    let directory = tempfile::tempdir().unwrap();
    let victim = directory.path().join("victim");
    for exists in [true, false] {
        if exists {
            fs::write(&victim, "keep").unwrap();
        }
        let link = directory.path().join("canary.lock");
        symlink(&victim, &link).unwrap();
        refusal(&FileStore::open(directory.path()).await.unwrap_err());
        fs::remove_file(&link).unwrap();
        assert_eq!(victim.exists(), exists);
        let _ = fs::remove_file(&victim);
    }
}

#[tokio::test]
async fn an_append_does_not_change_a_file_with_hard_links() {
    let (directory, store) = store().await;
    let victim = directory.path().join("victim");
    fs::write(&victim, "no newline").unwrap();
    fs::hard_link(&victim, path(&store, "events.jsonl")).unwrap();
    let error = refusal(&store.append_event(&key("shop"), &event()).await.unwrap_err());
    assert!(error.contains("hard links"), "{error}");
    assert_eq!(fs::read_to_string(victim).unwrap(), "no newline");
}

#[tokio::test]
async fn a_pipe_in_place_of_a_file_blocks_no_call() {
    let (_directory, store) = store().await;
    let start = Instant::now();
    make_pipe(&path(&store, "json"));
    make_pipe(&path(&store, "events.jsonl"));
    for _ in 0..8 {
        refusal(&store.load(&key("shop")).await.unwrap_err());
        refusal(&store.events(&key("shop"), 9).await.unwrap_err());
        refusal(&store.append_event(&key("shop"), &event()).await.unwrap_err());
        let swap = store.compare_and_swap(&key("shop"), None, &document()).await;
        refusal(&swap.unwrap_err());
    }
    let other = store.compare_and_swap(&key("other"), None, &document()).await.unwrap();
    assert!(matches!(other, Swap::Done(_)));
    let listed = store.list(&KeyRange::rollouts("prod").unwrap()).await.unwrap();
    let [other, pipe] = &listed[..] else { panic!("{listed:?}") };
    assert!(other.document.is_ok());
    refusal(pipe.document.as_ref().unwrap_err());
    assert!(start.elapsed() < 8 * CALL_DEADLINE, "{:?}", start.elapsed());

    let directory = tempfile::tempdir().unwrap();
    make_pipe(&directory.path().join("canary.lock"));
    FileStore::open(directory.path()).await.unwrap_err();
}

#[tokio::test]
async fn the_end_of_a_huge_history_is_read() {
    let (_directory, store) = store().await;
    let file = fs::File::create(path(&store, "events.jsonl")).unwrap();
    // Sparse: reading it whole would take a terabyte of memory.
    file.set_len(1 << 40).unwrap();
    let events = store.events(&key("shop"), 9).await.unwrap();
    assert_eq!(events, [], "the zeros are no event");
    store.append_event(&key("shop"), &event()).await.unwrap();
    assert_eq!(store.events(&key("shop"), 9).await.unwrap(), [event()]);
    assert!(fs::metadata(path(&store, "events.jsonl")).unwrap().len() < 100, "rotated");
}

#[tokio::test]
async fn a_history_of_many_lines_that_are_no_events_is_one_warning() {
    let (log, (_directory, store)) = (Log::shared(), store().await);
    fs::write(path(&store, "events.jsonl"), "\n".repeat(2 << 20)).unwrap();
    assert_eq!(store.events(&key("shop"), 9).await.unwrap(), []);
    assert_eq!(log.about(&path(&store, "events.jsonl")).len(), 1);
}

#[tokio::test]
async fn files_that_other_users_can_change_are_one_warning_each() {
    let log = Log::shared();
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), Permissions::from_mode(0o777)).unwrap();
    let store = FileStore::open(directory.path()).await.unwrap();
    let warnings = log.about(directory.path());
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("0777"), "{warnings:?}");

    let _ = store.compare_and_swap(&key("shop"), None, &document()).await.unwrap();
    let file = path(&store, "json");
    store.load(&key("shop")).await.unwrap();
    assert_eq!(log.about(&file).len(), 0, "the store's own file");
    fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
    for _ in 0..3 {
        assert!(store.load(&key("shop")).await.unwrap().is_some(), "a warning, not a refusal");
    }
    let warnings = log.about(&file);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(warnings[0].contains("0666"), "{warnings:?}");
}

/// The warnings of this process, which the threads of the store's reads and writes log.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn shared() -> Self {
        static LOG: std::sync::OnceLock<Log> = std::sync::OnceLock::new();
        let log = LOG.get_or_init(|| {
            let log = Self::default();
            let subscriber = tracing_subscriber::registry().with(log.clone());
            tracing::subscriber::set_global_default(subscriber).unwrap();
            log
        });
        log.clone()
    }

    /// Returns the warnings about exactly this file.
    fn about(&self, path: &Path) -> Vec<String> {
        let field = format!("file={} ", path.display());
        let log = self.0.lock().unwrap();
        log.iter().filter(|line| format!("{line} ").contains(&field)).cloned().collect()
    }
}

impl<S: tracing::Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let mut line = String::new();
        event.record(&mut |field: &tracing::field::Field, value: &dyn std::fmt::Debug| {
            line += &format!("{field}={value:?} ");
        });
        if *event.metadata().level() == tracing::Level::WARN {
            self.0.lock().unwrap().push(line);
        }
    }
}

#[tokio::test]
async fn a_directory_in_place_of_a_temporary_file_stops_only_its_own_document() {
    let (_directory, store) = store().await;
    fs::create_dir(path(&store, "json.tmp")).unwrap();
    let leftover = store.directory().join("prod.v1.rollouts.cart.json.tmp");
    fs::write(&leftover, "half of a document").unwrap();
    let store = FileStore::open(store.directory()).await.unwrap();
    assert!(!leftover.exists());
    let swap = store.compare_and_swap(&key("cart"), None, &document()).await.unwrap();
    assert!(matches!(swap, Swap::Done(_)));
    let error = store.compare_and_swap(&key("shop"), None, &document()).await.unwrap_err();
    assert!(
        std::error::Error::source(&error).unwrap().to_string().contains("json.tmp"),
        "{error:?}"
    );
}
