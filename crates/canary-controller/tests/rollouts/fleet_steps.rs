//! Monitors of a fleet that begin with a later step: calls of the step before are no evidence for them.

use canary_controller::analysis::Finding;
use canary_core::Weight;
use canary_rollout::Command;

use crate::support::{
    order,
    process::{Process, seconds},
    stored::{another_connection, fail_board, recover_board, test_store},
};

const PLAN: &str = r#"
warm_up = "0s"
monitors = [{ measure = "failures", from_step = 2 }]
steps = [
    { weight = "40%", min_duration = "1h", min_calls = 1 },
    { weight = "50%", min_duration = "1h", min_calls = 1 },
]
"#;

fn finding(process: &Process) -> Finding {
    process.rollout.status().judgment.findings[0].clone()
}

#[tokio::test(start_paused = true)]
async fn calls_that_were_published_after_a_step_and_made_before_it_are_no_evidence() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.rollout.command(order(Command::Start)).await.unwrap();
    let processes = [driver, Process::new(&store, PLAN).await, Process::new(&store, PLAN).await];
    seconds(&processes, 7, 10).await;
    for process in &processes {
        process.shop.fail_canary(1_000);
        process.shop.calls(100).await;
        process.shop.fail_canary(0);
    }
    processes[0].rollout.command(order(Command::SkipStep)).await.unwrap();
    seconds(&processes, 20, 10).await;
    for process in &processes {
        let finding = finding(process);
        assert_eq!(finding.adverse.canary, 0, "{finding}");
        // All replicas publish within a beat, and the looks at that count for the step before.
        assert!(finding.calls.canary > 100, "{} calls", finding.calls.canary);
        assert_eq!(process.shop.canary.weight(), Weight::from_percent(50));
    }
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_was_away_during_a_step_brings_no_calls_of_the_step_before() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.rollout.command(order(Command::Start)).await.unwrap();
    let connection = another_connection(&store);
    let processes = [driver, Process::new(&connection, PLAN).await];
    seconds(&processes, 6, 10).await;
    fail_board(&connection);
    processes[1].shop.fail_canary(1_000);
    processes[1].shop.calls(100).await;
    processes[1].shop.fail_canary(0);
    processes[0].rollout.command(order(Command::SkipStep)).await.unwrap();
    seconds(&processes, 20, 10).await;
    recover_board(&connection);
    seconds(&processes, 20, 10).await;
    let finding = finding(&processes[0]);
    assert_eq!(finding.adverse.canary, 0, "{finding}");
    assert!(finding.calls.canary > 150, "{finding}");
}

#[tokio::test(start_paused = true)]
async fn the_guard_of_a_follower_begins_with_the_step_too() {
    let store = test_store();
    let driver = Process::new(&store, PLAN).await;
    driver.rollout.command(order(Command::Start)).await.unwrap();
    let connection = another_connection(&store);
    let processes = [driver, Process::new(&connection, PLAN).await];
    seconds(&processes, 6, 10).await;
    // The evidence after the step has only what the follower has published before these calls.
    fail_board(&connection);
    let follower = &processes[1].shop;
    follower.fail_canary(1_000);
    follower.calls(100).await;
    follower.fail_canary(0);
    processes[0].rollout.command(order(Command::SkipStep)).await.unwrap();
    seconds(&processes, 6, 10).await;
    let failing = http::Request::get("/").header("x-fail", "canary");
    let failing = failing.body(()).unwrap();
    for _ in 0..4 {
        follower.call(failing.clone()).await;
    }
    assert_eq!(follower.canary.weight(), Weight::from_percent(50));
    follower.fail_canary(1_000);
    follower.calls(60).await;
    assert_eq!(follower.canary.weight(), Weight::ZERO, "the guard works");
}
