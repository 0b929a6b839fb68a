//! A store that loses a part of what a fleet has published.

use canary_controller::store::{Document, Removal, StateStore, StoreKey, Swap};
use canary_core::Weight;
use canary_rollout::{Actor, Command};

use crate::support::{
    logged, order,
    process::{Process, seconds, sum},
    stored::{
        TestStore, another_connection, fail_board, recover_board, rollout_key, stored, test_store,
    },
};

const PLAN: &str = r#"
warm_up = "0s"
steps = [{ weight = "10%", min_duration = "1h", min_calls = 1 }]
monitors = [{ measure = "failures" }]
"#;

/// Removes the entries of the board, except that of `kept`, and returns them.
async fn lose_entries(store: &TestStore, kept: &str) -> Vec<(StoreKey, Document)> {
    let mut lost = Vec::new();
    for entry in store.inner().list(&rollout_key().board()).await.unwrap() {
        if entry.key.name() != kept {
            let found = entry.document.unwrap();
            let removed = store.inner().remove(&entry.key, &found.revision).await.unwrap();
            assert_eq!(removed, Removal::Done);
            lost.push((entry.key, found.document));
        }
    }
    lost
}

#[tokio::test(start_paused = true)]
async fn the_judge_waits_for_a_lost_entry_and_counts_it_once_if_it_comes_back_late() {
    let (_guard, warnings) = logged(tracing::Level::WARN);
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.rollout.command(order(Command::Start)).await.unwrap();
    let connection = another_connection(&store);
    let processes = [driver, Process::new(&connection, PLAN).await];
    seconds(&processes, 10, 10).await;
    seconds(&processes, 4, 0).await;
    let judged = processes[0].judged();
    assert_eq!(judged, sum(processes.iter().map(Process::counted)));
    fail_board(&connection);
    let driver = processes[0].rollout.status().driver.clone().unwrap();
    lose_entries(&store, driver.as_str()).await;
    // The driver serves more calls than the lost entry had.
    seconds(&processes[..1], 50, 10).await;
    assert_eq!(processes[0].judged(), judged);
    seconds(&processes[..1], 20, 10).await;
    let is_told = |warning: &String| warning.contains("the entry of replica");
    assert!(warnings.lock().unwrap().iter().any(is_told), "{warnings:?}");
    let judged = processes[0].judged();

    recover_board(&connection);
    seconds(&processes, 6, 0).await;
    let returned = processes[0].judged();
    let most = sum([processes[0].counted(), processes[1].counted()]);
    assert!(returned.canary < most.canary && returned.canary >= judged.canary, "{returned:?}");
    let before = sum(processes.iter().map(Process::counted));
    seconds(&processes, 10, 10).await;
    seconds(&processes, 4, 0).await;
    let later = sum(processes.iter().map(Process::counted));
    assert_eq!(processes[0].judged().canary - returned.canary, later.canary - before.canary);
}

const SECOND_STEP: &str = r#"
    warm_up = "0s"
    monitors = [{ measure = "failures", from_step = 2 }]
    steps = [
        { weight = "40%", min_duration = "1h", min_calls = 1 },
        { weight = "50%", min_duration = "1h", min_calls = 1 },
    ]
"#;

/// Skips the first step while the board lacks an entry, after failures of the driver's canary. Returns the
/// processes, of which the first one drives, and what is lost.
async fn skip_a_step_without_an_entry(
    store: &TestStore,
) -> (Vec<Process>, Vec<(StoreKey, Document)>) {
    let driver = Process::new(store, SECOND_STEP).await;
    driver.command(Command::Start).await;
    let connection = another_connection(store);
    let processes = vec![driver, Process::new(&connection, SECOND_STEP).await];
    seconds(&processes, 6, 10).await;
    fail_board(&connection);
    seconds(&processes, 4, 0).await;
    let driver = processes[0].rollout.status().driver.clone().unwrap();
    let lost = lose_entries(store, driver.as_str()).await;
    seconds(&processes, 2, 0).await;
    processes[0].shop.fail_canary(1_000);
    processes[0].shop.calls(100).await;
    processes[0].shop.fail_canary(0);
    processes[0].command(Command::SkipStep).await;
    (processes, lost)
}

#[tokio::test(start_paused = true)]
async fn a_step_that_begins_while_an_entry_is_missing_gets_no_calls_of_the_step_before() {
    let store = test_store();
    let (processes, lost) = skip_a_step_without_an_entry(&store).await;
    seconds(&processes, 5, 10).await;
    for (key, entry) in lost {
        let swap = store.inner().compare_and_swap(&key, None, &entry).await.unwrap();
        assert!(matches!(swap, Swap::Done(_)), "{swap:?}");
    }
    seconds(&processes, 20, 10).await;
    let finding = processes[0].finding("failures");
    assert_eq!(finding.adverse.canary, 0, "{finding}");
    assert!(finding.calls.canary > 50, "{finding}");
}

#[tokio::test(start_paused = true)]
async fn the_guard_of_a_step_that_begins_while_an_entry_is_missing_works_at_once() {
    let store = test_store();
    let (processes, _) = skip_a_step_without_an_entry(&store).await;
    let driver = &processes[0];
    assert_eq!(driver.shop.canary.weight(), Weight::from_percent(50));
    driver.shop.fail_canary(1_000);
    driver.shop.calls(40).await;
    assert_eq!(driver.shop.canary.weight(), Weight::ZERO);
}

/// The driver has begun the evidence, and has loaded none.
#[tokio::test(start_paused = true)]
async fn the_entry_of_a_process_that_has_stopped_is_removed() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.rollout.command(order(Command::Start)).await.unwrap();
    let processes = [driver, Process::new(&store, PLAN).await];
    seconds(&processes, 10, 10).await;
    let counted = sum(processes.iter().map(Process::counted));
    let [driver, other] = processes;
    other.controller.stop().await;
    let entries = async || store.inner().list(&rollout_key().board()).await.unwrap().len();
    assert_eq!(entries().await, 2);
    let driver = [driver];
    seconds(&driver, 70, 0).await;
    assert_eq!(entries().await, 1);
    assert_eq!(driver[0].judged(), counted);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_after_a_loss_of_the_rollout_has_evidence_of_its_own() {
    let store = test_store();
    let process = Process::new(&store, PLAN).await;
    process.rollout.command(order(Command::Start)).await.unwrap();
    let processes = [process];
    seconds(&processes, 10, 20).await;
    assert!(processes[0].judged().canary > 5);
    drop(processes);
    // The evidence and the board remain.
    let (_, revision) = stored(&store).await.unwrap();
    let removed = store.inner().remove(&rollout_key(), &revision).await.unwrap();
    assert_eq!(removed, Removal::Done);

    let process = Process::new(&store, PLAN).await;
    process.rollout.command(order(Command::Start)).await.unwrap();
    assert_eq!(process.rollout.status().rollout.attempt(), 1);
    let processes = [process];
    seconds(&processes, 10, 3).await;
    seconds(&processes, 4, 0).await;
    assert_eq!(processes[0].judged(), processes[0].counted());
}

#[tokio::test(start_paused = true)]
async fn a_fleet_whose_rollout_is_lost_judges_each_later_call_once() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.rollout.command(order(Command::Start)).await.unwrap();
    let processes = [driver, Process::new(&store, PLAN).await, Process::new(&store, PLAN).await];
    seconds(&processes, 10, 10).await;
    let (_, revision) = stored(&store).await.unwrap();
    let removed = store.inner().remove(&rollout_key(), &revision).await.unwrap();
    assert_eq!(removed, Removal::Done);
    seconds(&processes, 20, 0).await;
    let judged = processes[0].judged();
    let before = sum(processes.iter().map(Process::counted));
    assert!(judged.canary < before.canary, "the evidence is that of the new document");
    processes[0].rollout.resume(Actor::person("ada"), "").await.unwrap();
    assert_eq!(processes[0].shop.canary.weight(), Weight::from_percent(10));
    seconds(&processes, 10, 10).await;
    seconds(&processes, 6, 0).await;
    let later = sum(processes.iter().map(Process::counted));
    for process in &processes {
        assert_eq!(process.judged().canary - judged.canary, later.canary - before.canary);
    }
}
