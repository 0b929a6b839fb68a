//! A process that has no space left for files.

use std::{convert::Infallible, path::PathBuf};

use canary_controller::{
    Controller, Managed,
    store::{FileStore, StoreOperation},
};
use canary_rollout::{Actor, Phase, Plan};
use http::{Request, Response};
use tower_canary::{CanaryLayer, CanaryOptions};

use super::child::{Process, Task, print};

/// The task of the process.
pub(super) async fn start(directory: PathBuf) {
    let service =
        tower::service_fn(async |_: Request<()>| Ok::<_, Infallible>(Response::new(String::new())));
    let options = CanaryOptions::new().stable_release("v1").canary_release("v2");
    let layer = CanaryLayer::with_options("shop", service, options);
    let controller = Controller::new(FileStore::open(directory).await.unwrap());
    let plan = Plan::from_toml("steps = [{ weight = '10%' }]").unwrap();
    let rollout = controller.add(Managed::new(layer.handle(), plan)).unwrap();
    let error = rollout.start(Actor::person("ada"), "").await.unwrap_err();
    print(format!("refused: {error}"));
    let fails = |status: &canary_controller::Status| {
        status.store_failures.iter().any(|it| it.operation == StoreOperation::Write)
    };
    let status = rollout.watch().wait_for(|status| fails(status)).await.unwrap().clone();
    assert_eq!(status.rollout.phase(), Phase::Idle);
    print(format!("status: {}", status.summary));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_named_with_the_file_that_does_not_fit() {
    let directory = tempfile::tempdir().unwrap();
    let mut process = Process::start_without_space(Task::StartWithoutSpace, directory.path());
    let mut lines = Vec::new();
    while let Some(line) = process.next_line() {
        lines.push(line);
    }
    let file = directory.path().join("default.v1.rollouts.shop.json").display().to_string();
    for start in ["refused: ", "status: "] {
        let line = lines.iter().find(|line| line.starts_with(start));
        let line = line.unwrap_or_else(|| panic!("expected {start:?} in {lines:#?}"));
        assert!(line.contains("File too large"), "{line}");
        assert!(line.contains(&file), "{line}");
    }
}
