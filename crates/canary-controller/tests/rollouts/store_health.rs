//! Failures of the store are shown with their error and path, and do not flood the log.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use canary_controller::{
    Controller, RolloutHandle, Status,
    store::{
        Document, FileStore, StateStore, StoreFailure, StoreOperation, Swap,
        testing::{FaultyStore, StoreFault},
    },
};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Phase};
use tempfile::TempDir;
use tokio::time::timeout;
use tracing::Level;

use crate::support::{
    Shop, controller, logged, managed, order, second,
    stored::{rollout_key, test_store},
    tick, until,
};

const PLAN: &str = r#"
steps = [{ weight = "10%", min_duration = "1h" }]
monitors = [{ measure = "failures" }]
"#;

/// A rollout in a directory, which ticks often.
struct Stored {
    shop: Shop,
    rollout: RolloutHandle,
    directory: TempDir,
    _controller: Controller,
}

impl Stored {
    async fn idle() -> Self {
        let (directory, shop) = (tempfile::tempdir().unwrap(), Shop::new("v2"));
        let store = FileStore::open(directory.path().join("store")).await.unwrap();
        let controller = Controller::new(store).interval(Duration::from_millis(20));
        let rollout = controller.add(managed(&shop, PLAN)).unwrap();
        let stored = Self { shop, rollout, directory, _controller: controller };
        stored.until(|status| status.load_error.is_none()).await;
        stored
    }

    async fn running() -> Self {
        let stored = Self::idle().await;
        stored.rollout.start(Actor::person("ada"), "").await.unwrap();
        stored.until(|status| status.rollout.phase() == Phase::Running).await;
        stored
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("store")
    }

    fn document(&self) -> PathBuf {
        self.path().join("default.v1.rollouts.shop.json")
    }

    async fn until(&self, condition: impl FnMut(&Arc<Status>) -> bool) -> Arc<Status> {
        let mut status = self.rollout.watch();
        let found = timeout(Duration::from_secs(60), status.wait_for(condition)).await;
        let Ok(found) = found else { panic!("{}", self.rollout.status().summary) };
        found.unwrap().clone()
    }

    /// Waits until this operation fails.
    async fn failing(&self, operation: StoreOperation) -> (Arc<Status>, StoreFailure) {
        let status = self.until(|status| failure(status, operation).is_some()).await;
        let failure = failure(&status, operation).unwrap();
        (status, failure)
    }

    async fn recovered(&self) {
        let status = self.until(|status| status.store_failures.is_empty()).await;
        assert!(!status.summary.contains("store"), "{}", status.summary);
    }
}

fn failure(status: &Status, operation: StoreOperation) -> Option<StoreFailure> {
    status.store_failures.iter().find(|it| it.operation == operation).cloned()
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[tokio::test]
async fn a_write_that_fails_is_shown_with_its_error_and_path_until_it_succeeds() {
    let stored = Stored::idle().await;
    // A directory in place of the temporary file lets each write fail, also for the superuser.
    let blocked = stored.document().with_extension("json.tmp");
    fs::create_dir(&blocked).unwrap();
    let error = stored.rollout.start(Actor::person("ada"), "").await.unwrap_err().to_string();
    assert!(error.contains("Is a directory"), "{error}");
    assert!(error.contains(&text(&blocked)), "{error}");
    let (status, failure) = stored.failing(StoreOperation::Write).await;
    assert_eq!(failure.path, text(&stored.document()));
    assert!(failure.error.contains("Is a directory"), "{failure}");
    assert!(failure.since <= status.at);
    assert!(status.summary.contains("the store cannot be written: "), "{}", status.summary);
    assert!(status.summary.contains(&text(&blocked)), "{}", status.summary);
    fs::remove_dir(&blocked).unwrap();
    stored.recovered().await;
}

#[tokio::test]
async fn a_history_that_cannot_be_written_is_shown_and_does_not_stop_the_rollout() {
    let stored = Stored::idle().await;
    let blocked = stored.path().join("default.v1.rollouts.shop.events.jsonl");
    fs::create_dir(&blocked).unwrap();
    stored.rollout.start(Actor::person("ada"), "").await.unwrap();
    let (status, failure) = stored.failing(StoreOperation::History).await;
    assert!(failure.to_string().starts_with("the history cannot be stored: "), "{failure}");
    assert!(failure.to_string().contains(&text(&blocked)), "{failure}");
    assert_eq!(status.rollout.phase(), Phase::Running);
    fs::remove_dir(&blocked).unwrap();
    stored.recovered().await;
}

#[tokio::test]
async fn a_document_that_becomes_corrupt_is_named_and_the_rollout_stays_as_it_is() {
    for garbage in [&b"\xff\xfe"[..], b"{\"format\":1,\"count\":7,\"document\":\n{}\n}\n"] {
        let stored = Stored::running().await;
        let good = fs::read(stored.document()).unwrap();
        fs::write(stored.document(), garbage).unwrap();
        let path = text(&stored.document());
        let status = stored.until(|status| status.summary.contains(&path)).await;
        assert_eq!(status.rollout.phase(), Phase::Running);
        assert_eq!(stored.shop.canary.weight(), Weight::from_percent(10));
        let outcome = stored.rollout.roll_back(Actor::person("ada"), "").await.unwrap();
        assert!(outcome.note.unwrap().contains(&path));
        assert_eq!(fs::read(stored.document()).unwrap(), garbage, "it is left for an operator");
        fs::write(stored.document(), &good).unwrap();
        stored.recovered().await;
        assert_eq!(stored.rollout.status().rollout.phase(), Phase::RolledBack);
    }
}

#[tokio::test]
async fn evidence_that_is_corrupt_is_named() {
    let stored = Stored::idle().await;
    let path = stored.path().join("default.v1.evidence.shop.json");
    fs::write(&path, b"\xff\xfe").unwrap();
    let path = text(&path);
    let status = stored.until(|status| status.summary.contains(&path)).await;
    assert_eq!(status.rollout.phase(), Phase::Idle);
    assert!(failure(&status, StoreOperation::Watch).is_some());
    // The rollout can run without stored evidence.
    stored.rollout.start(Actor::person("ada"), "").await.unwrap();
    let (_, failure) = stored.failing(StoreOperation::Write).await;
    assert_eq!(failure.path, path);
    assert_eq!(stored.shop.canary.weight(), Weight::from_percent(10));
}

#[tokio::test]
async fn a_directory_that_disappears_is_named() {
    let stored = Stored::running().await;
    fs::rename(stored.path(), stored.directory.path().join("away")).unwrap();
    let (status, failure) = stored.failing(StoreOperation::Write).await;
    assert!(failure.error.contains("No such file or directory"), "{failure}");
    assert!(status.summary.contains(&text(&stored.path())), "{}", status.summary);
    stored.failing(StoreOperation::Watch).await;
    fs::rename(stored.directory.path().join("away"), stored.path()).unwrap();
    stored.recovered().await;
}

#[tokio::test(start_paused = true)]
async fn a_document_that_is_not_evidence_is_named_until_the_judge_replaces_it() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let key = rollout_key().evidence();
    let document = Document::try_new(r#"{"driver":7}"#).unwrap();
    let swap = store.inner().compare_and_swap(&key, None, &document).await.unwrap();
    assert!(matches!(swap, Swap::Done(_)));
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    let status = rollout.watch().wait_for(|it| it.load_error.is_none()).await.unwrap().clone();
    let failure = failure(&status, StoreOperation::Read).unwrap();
    assert_eq!(failure.path, key.to_string());
    assert!(failure.error.contains("the document is not evidence"), "{failure}");
    assert!(failure.error.contains("the judge starts without evidence"), "{failure}");
    rollout.start(Actor::person("ada"), "").await.unwrap();
    tick(&shop).await;
    assert_eq!(rollout.status().store_failures, []);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_logged_once_and_then_once_a_minute_with_a_count() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    until(&shop, &rollout, Phase::Running, 0).await;
    let (guard, warnings) = logged(Level::WARN);
    store.fail_all(StoreFault::Unavailable);
    rollout.command(order(Command::Pause)).await.unwrap();
    for _ in 0..5 * 60 {
        second(&shop, 1).await;
    }
    drop(guard);
    let status = rollout.status();
    let failure = failure(&status, StoreOperation::Write).unwrap();
    assert!(failure.since < status.at);
    assert!(failure.error.ends_with("the store is unavailable: injected fault"), "{failure}");
    let warnings = warnings.lock().unwrap().clone();
    for (start, most) in [("the store cannot be written", 12), ("the store cannot be read", 6)] {
        let lines: Vec<_> = warnings.iter().filter(|line| line.starts_with(start)).collect();
        assert!((5..=most).contains(&lines.len()), "{} lines: {lines:#?}", lines.len());
        assert!(!lines[0].contains("failures since"), "{}", lines[0]);
        assert!(lines[lines.len() - 1].contains("failures since the last report"), "{lines:#?}");
    }
    assert!(warnings.len() < 60, "{warnings:#?}");

    let (guard, infos) = logged(Level::INFO);
    store.recover();
    for _ in 0..5 {
        second(&shop, 1).await;
    }
    drop(guard);
    assert_eq!(rollout.status().store_failures, []);
    let infos = infos.lock().unwrap().clone();
    assert!(infos.iter().any(|line| line.starts_with("the store works again: write")), "{infos:?}");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_every_other_second_does_not_flood_the_log() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN)).unwrap();
    rollout.start(Actor::person("ada"), "").await.unwrap();
    let (guard, warnings) = logged(Level::WARN);
    for _ in 0..150 {
        store.fail_all(StoreFault::Unavailable);
        second(&shop, 1).await;
        store.recover();
        second(&shop, 1).await;
    }
    drop(guard);
    let warnings = warnings.lock().unwrap().len();
    assert!((1..150).contains(&warnings), "{warnings}");
}

#[tokio::test(start_paused = true)]
async fn a_write_that_another_replica_has_made_fails_no_longer() {
    let (store, shops) = (test_store(), [Shop::new("v2"), Shop::new("v2")]);
    let driver = controller(store.clone());
    let driving = driver.add(managed(&shops[0], PLAN)).unwrap();
    driving.start(Actor::person("ada"), "").await.unwrap();
    // The follower reaches the store on a way of its own.
    let faulty = FaultyStore::new(store.inner().clone());
    let follower = controller(faulty.clone());
    let following = follower.add(managed(&shops[1], PLAN)).unwrap();
    following.watch().wait_for(|status| status.load_error.is_none()).await.unwrap();
    faulty.fail_changes(0..usize::MAX, StoreFault::Unavailable);
    let raise = Command::SetWeight { weight: Weight::from_percent(20) };
    following.command(order(raise)).await.unwrap_err();
    for _ in 0..3 {
        second(&shops[0], 1).await;
    }
    assert!(failure(&following.status(), StoreOperation::Write).is_some());

    driving.command(order(Command::Pause)).await.unwrap();
    for _ in 0..3 {
        second(&shops[0], 1).await;
    }
    let status = following.status();
    assert_eq!(status.rollout.phase(), Phase::Paused);
    assert_eq!(status.store_failures, []);
    assert!(!status.summary.contains("the store"), "{}", status.summary);
}

#[tokio::test(start_paused = true)]
async fn a_start_that_is_tried_each_second_does_not_flood_the_log() {
    let (store, shop) = (test_store(), Shop::new("v2"));
    store.fail_changes(0..usize::MAX, StoreFault::Unavailable);
    let (guard, warnings) = logged(Level::WARN);
    let controller = controller(store.clone());
    let rollout = controller.add(managed(&shop, PLAN).auto_start()).unwrap();
    for _ in 0..3 * 60 {
        second(&shop, 1).await;
    }
    drop(guard);
    assert_eq!(rollout.status().rollout.phase(), Phase::Idle);
    assert!(store.changes() >= 100, "{} attempts", store.changes());
    let warnings = warnings.lock().unwrap();
    assert!((1..12).contains(&warnings.len()), "{} lines: {warnings:#?}", warnings.len());
}
