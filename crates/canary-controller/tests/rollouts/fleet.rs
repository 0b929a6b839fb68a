//! The evidence of a fleet: the driver judges the sum of what all processes count.

use std::{fs, path::Path, time::Duration};

use canary_controller::store::{StateStore, testing::StoreFault};
use canary_core::Weight;
use canary_rollout::{Actor, Command, Phase};
use http::HeaderName;
use tower_canary::{CanaryOptions, select::Sticky};

use crate::support::{
    Shop, controller, logged, managed, order,
    process::{Process, seconds, sum},
    stored::{TestStore, another_connection, rollout_key, test_store},
};

const PLAN: &str = r#"
warm_up = "0s"
steps = [{ weight = "10%", min_duration = "1h", min_calls = 1 }]
monitors = [{ measure = "failures" }]
"#;

const TWO_STEPS: &str = r#"
warm_up = "0s"
steps = [
    { weight = "10%", min_duration = "1m", min_calls = 1 },
    { weight = "50%", min_duration = "1h", min_calls = 1 },
]
monitors = [{ measure = "failures" }]
"#;

async fn fleet(store: &TestStore, size: usize) -> Vec<Process> {
    let mut processes = vec![Process::new(store, PLAN).await];
    processes[0].rollout.command(order(Command::Start)).await.unwrap();
    for _ in 1..size {
        processes.push(Process::new(store, PLAN).await);
    }
    processes
}

#[tokio::test(start_paused = true)]
async fn each_call_of_each_process_is_judged_once_whichever_drives() {
    let store = test_store();
    let mut processes = fleet(&store, 3).await;
    // The calls of processes that have gone.
    let mut gone = Vec::new();
    for round in 0..12 {
        seconds(&processes, 5, 7 + round).await;
        if round % 3 == 1 {
            // The result of some changes is unknown, and others are lost.
            let fault = [StoreFault::Unavailable, StoreFault::ResponseLost][round as usize % 2];
            store.fail_next(fault);
            seconds(&processes, 1, 5).await;
            store.fail_next(fault);
        }
        // Everything is published.
        seconds(&processes, 4, 0).await;
        if round % 2 == 1 {
            let leaver = processes.remove(0);
            gone.push(leaver.counted());
            if round % 4 == 1 {
                leaver.controller.stop().await;
            } else {
                drop(leaver.controller);
            }
            processes.push(Process::new(&store, PLAN).await);
            // A new driver needs at most four beats.
            seconds(&processes, 10, 3).await;
        }
    }
    seconds(&processes, 6, 0).await;
    let counted = sum(processes.iter().map(Process::counted).chain(gone));
    for process in &processes {
        assert_eq!(process.judged(), counted);
        assert_eq!(process.rollout.status().rollout.phase(), Phase::Running);
    }
    // The calls of the step are those of the fleet.
    let state = processes[0].rollout.status().rollout.state().clone();
    assert_eq!(state.progress().unwrap().calls, counted.canary);
}

/// The successor of a driver that dies at any moment finds all judged calls on the board.
#[tokio::test(start_paused = true)]
async fn a_new_driver_continues_where_the_evidence_of_a_killed_one_ends() {
    let store = test_store();
    let mut processes = fleet(&store, 1).await;
    for round in 0..6 {
        // The driver stores its evidence, and dies between two beats.
        seconds(&processes, 3 + round % 3, 7).await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        processes[0].rollout.pause(Actor::person("ada"), "").await.unwrap();
        let judged = processes[0].judged();
        drop(processes.remove(0).controller);
        processes.push(Process::new(&store, PLAN).await);
        processes[0].rollout.resume(Actor::person("ada"), "").await.unwrap();
        seconds(&processes, 12, 3).await;
        seconds(&processes, 4, 0).await;
        assert_eq!(processes[0].judged(), sum([judged, processes[0].counted()]), "round {round}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_guard_of_a_follower_counts_each_failure_once() {
    count_failures_of_a_follower(None).await;
}

/// The driver sees the counts of such a publication, and the follower does not know it.
#[tokio::test(start_paused = true)]
async fn the_guard_counts_each_failure_once_if_publications_are_not_answered() {
    count_failures_of_a_follower(Some(StoreFault::ResponseLost)).await;
}

async fn count_failures_of_a_follower(fault: Option<StoreFault>) {
    let store = test_store();
    let half = PLAN.replace("10%", "50%");
    let driver = Process::new(&store, &half).await;
    driver.rollout.command(order(Command::Start)).await.unwrap();
    let connection = another_connection(&store);
    let processes = [driver, Process::new(&connection, &half).await];
    connection.only_keys_with("board");
    seconds(&processes, 4, 1).await;
    let follower = &processes[1];
    assert!(!follower.rollout.status().is_driving);
    // At half of the traffic, nine failures in a row are evidence, and fewer are chance.
    for _ in 0..8 {
        let failed = || follower.shop.canary.counts().total().evidence.canary.failure;
        let before = failed();
        while failed() == before {
            let request = http::Request::get("/").header("x-fail", "canary").body(()).unwrap();
            follower.shop.call(request).await;
        }
        if let Some(fault) = fault {
            let next = connection.changes();
            connection.fail_changes(next..next + 1, fault);
        }
        seconds(&processes, 3, 0).await;
        assert_eq!(follower.shop.canary.weight(), Weight::from_percent(50), "{before} before");
    }
    seconds(&processes, 5, 0).await;
    assert_eq!(processes[0].judged(), sum(processes.iter().map(Process::counted)));
    follower.shop.fail_canary(1000);
    follower.shop.calls(30).await;
    assert_eq!(follower.shop.canary.weight(), Weight::ZERO, "the guard works");
}

/// Only one of the processes has sticky callers, so that the units of the monitors differ.
#[tokio::test(start_paused = true)]
async fn the_guard_of_a_follower_that_discards_the_evidence_counts_the_failures_of_all_beats() {
    let (_guard, warnings) = logged(tracing::Level::WARN);
    let store = test_store();
    let half = PLAN.replace("10%", "50%");
    let sticky = Sticky::by_header(HeaderName::from_static("x-user-id"));
    let options = CanaryOptions::new().select(sticky);
    let driver = Process::with_options(&store, &half, options).await;
    driver.command(Command::Start).await;
    let processes = [driver, Process::new(&store, &half).await];
    let follower = &processes[1];
    follower.shop.fail_canary(1_000);
    for _ in 0..30 {
        seconds(&processes, 1, 0).await;
        follower.shop.calls(1).await;
    }
    assert_eq!(follower.shop.canary.weight(), Weight::ZERO);
    let is_discarded = |warning: &&String| warning.contains("the stored evidence is discarded");
    let warnings = warnings.lock().unwrap();
    assert_eq!(warnings.iter().filter(is_discarded).count(), 1, "{warnings:?}");
}

#[tokio::test(start_paused = true)]
async fn a_follower_that_discards_the_evidence_publishes_no_keys() {
    let store = test_store();
    let sticky = Sticky::by_header(HeaderName::from_static("x-user-id"));
    let options = CanaryOptions::new().select(sticky);
    let driver = Process::new(&store, PLAN).await;
    driver.command(Command::Start).await;
    let processes = [driver, Process::with_options(&store, PLAN, options).await];
    let follower = &processes[1].shop;
    // The first publication comes before the evidence.
    seconds(&processes, 6, 1).await;
    for user in 0..100 {
        let request = http::Request::get("/").header("x-user-id", user.to_string());
        follower.call(request.body(()).unwrap()).await;
    }
    seconds(&processes, 6, 0).await;
    let entries = store.inner().list(&rollout_key().board()).await.unwrap();
    assert_eq!(entries.len(), 2);
    for entry in entries {
        let entry = entry.document.unwrap().document;
        assert!(!entry.as_str().contains(r#""keys""#), "{}", entry.as_str());
    }
}

#[tokio::test(start_paused = true)]
async fn a_canary_is_rolled_back_on_evidence_that_no_single_process_had() {
    let store = test_store();
    let processes = fleet(&store, 3).await;
    for process in &processes {
        process.shop.fail_canary(60);
    }
    for _ in 0..600 {
        seconds(&processes, 1, 4).await;
        if processes.iter().all(|it| it.shop.canary.weight() == Weight::ZERO) {
            break;
        }
    }
    seconds(&processes, 4, 0).await;
    let status = processes[0].rollout.status();
    assert_eq!(status.rollout.phase(), Phase::RolledBack, "{}", status.judgment);
    let judged = processes[0].judged();
    for process in &processes {
        assert!(process.counted().canary * 2 < judged.canary, "{judged:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_of_a_small_fleet_makes_one_write_per_beat() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.command(Command::Start).await;
    let connection = another_connection(&store);
    connection.only_keys_with("board");
    let processes = [driver, Process::new(&connection, PLAN).await];
    seconds(&processes, 40, 10).await;
    assert!((18..=21).contains(&connection.changes()), "{} writes", connection.changes());
}

#[tokio::test(start_paused = true)]
async fn a_process_alone_writes_its_entry_once_per_beat() {
    let store = test_store();
    let process = [Process::new(&store, PLAN).await];
    process[0].command(Command::Start).await;
    store.only_keys_with("board");
    for calls in [10, 0] {
        let before = store.changes();
        seconds(&process, 40, calls).await;
        let writes = store.changes() - before;
        assert!((16..=21).contains(&writes), "{writes} writes with {calls} calls a second");
    }
}

#[tokio::test(start_paused = true)]
async fn the_status_tells_which_replicas_are_heard() {
    let store = test_store();
    let mut processes = fleet(&store, 3).await;
    seconds(&processes, 6, 1).await;
    for process in &processes {
        assert_eq!(process.heard(), "3 of 3 replicas heard");
    }
    drop(processes.pop().unwrap().controller);
    seconds(&processes, 20, 1).await;
    for process in &processes {
        assert_eq!(process.heard(), "2 of 3 replicas heard");
        assert_eq!(process.rollout.status().fleet.as_ref().unwrap().silent.len(), 1);
    }
    processes.pop().unwrap().controller.stop().await;
    seconds(&processes, 20, 1).await;
    assert_eq!(processes[0].heard(), "1 of 2 replicas heard");
    processes[0].rollout.command(order(Command::RollBack)).await.unwrap();
    assert_eq!(processes[0].heard(), "", "no rollout is in progress");
}

#[tokio::test(start_paused = true)]
async fn a_plan_waits_while_fewer_than_half_of_the_replicas_are_heard() {
    let store = test_store();
    let mut processes = vec![Process::new(&store, TWO_STEPS).await];
    processes[0].rollout.command(order(Command::Start)).await.unwrap();
    for _ in 0..4 {
        processes.push(Process::new(&store, TWO_STEPS).await);
    }
    seconds(&processes, 8, 10).await;
    // Three of five crash.
    processes.truncate(2);
    seconds(&processes, 80, 10).await;
    let status = processes[0].rollout.status();
    let waits = "2 of 5 replicas heard, at least 3 needed";
    assert!(status.summary.ends_with(waits), "{}", status.summary);
    assert_eq!(processes[0].shop.canary.weight(), Weight::from_percent(10));
    // A new one makes three of six.
    processes.push(Process::new(&store, TWO_STEPS).await);
    seconds(&processes, 70, 10).await;
    assert_eq!(processes[0].shop.canary.weight(), Weight::from_percent(50));
    let history = processes[0].rollout.history(9).await.unwrap();
    let kinds: Vec<_> = history.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(kinds, ["started", "step_begun", "quorum_lost", "quorum_regained", "step_begun"]);
}

#[tokio::test(start_paused = true)]
async fn a_rollback_is_in_force_at_once_here_and_by_the_watch_everywhere() {
    let store = test_store();
    let processes = fleet(&store, 3).await;
    seconds(&processes, 3, 1).await;
    let rolled_back = processes[2].rollout.command(order(Command::RollBack));
    rolled_back.await.unwrap();
    assert_eq!(processes[2].shop.canary.weight(), Weight::ZERO);
    for process in &processes {
        let mut status = process.rollout.watch();
        status.wait_for(|status| status.weight == Weight::ZERO).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_replica_has_the_weight_of_the_fleet_before_its_first_call() {
    let store = test_store();
    let processes = fleet(&store, 1).await;
    let shop = Shop::new("v2");
    let new = controller(store.clone());
    let _rollout = new.add(managed(&shop, PLAN)).unwrap();
    assert!(new.ready(Duration::from_secs(5)).await);
    assert_eq!(shop.canary.weight(), processes[0].shop.canary.weight());
    assert_eq!(shop.canary.weight(), Weight::from_percent(10));

    store.fail_all(StoreFault::Unavailable);
    let shop = Shop::new("v2");
    let late = controller(store.clone());
    let _rollout = late.add(managed(&shop, PLAN)).unwrap();
    let began = tokio::time::Instant::now();
    assert!(!late.ready(Duration::from_secs(5)).await);
    assert_eq!((began.elapsed(), shop.canary.weight()), (Duration::from_secs(5), Weight::ZERO));
    store.recover();
    assert!(late.ready(Duration::from_secs(5)).await);
    assert_eq!(shop.canary.weight(), Weight::from_percent(10));
}

#[test]
fn every_guarantee_of_a_fleet_names_existing_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap();
    let code = [
        read("tests/rollouts/fleet.rs"),
        read("tests/rollouts/fleet_closed.rs"),
        read("tests/rollouts/fleet_losses.rs"),
        read("tests/rollouts/lost_responses.rs"),
        read("src/driver/attempt_judge/tests.rs"),
        read("src/driver/board/tests.rs"),
        read("../canary-rollout/tests/fleet.rs"),
        read("../canary-rollout/tests/fleet_board/model.rs"),
        read("../canary-rollout/src/fleet/roster.rs"),
    ]
    .concat();
    let docs = read("../canary-rollout/src/fleet.rs");
    let rows: Vec<&str> = docs.lines().filter(|line| line.starts_with("//! | E")).collect();
    assert_eq!(rows.len(), 6);
    for row in rows {
        let tests = row.trim_end_matches(" |").rsplit('|').next().unwrap();
        for name in tests.split(',').map(|name| name.trim().trim_matches('`')) {
            assert!(code.contains(&format!("fn {name}(")), "there is no test {name:?}");
        }
    }
}
