//! A store that makes all changes, and whose responses are lost.

use canary_controller::store::testing::StoreFault;
use canary_core::Weight;
use canary_rollout::{Command, Phase};

use crate::support::{
    process::{Process, seconds, sum},
    second,
    stored::{another_connection, stored_phase, test_store},
};

const PLAN: &str = r#"
warm_up = "0s"
steps = [
    { weight = "10%", min_duration = "1m", min_calls = 1 },
    { weight = "50%", min_duration = "1m", min_calls = 1 },
]
monitors = [{ measure = "failures" }]
"#;

#[tokio::test(start_paused = true)]
async fn the_calls_of_a_replica_are_judged_although_no_publication_is_answered() {
    for fault in [StoreFault::ResponseLost, StoreFault::HangAfterChange] {
        let store = test_store();
        let driver = Process::new(&store, PLAN).await;
        driver.command(Command::Start).await;
        driver.command(Command::Pause).await;
        let connection = another_connection(&store);
        connection.only_keys_with("board");
        connection.fail_changes(0..usize::MAX, fault);
        let processes = [driver, Process::new(&connection, PLAN).await];
        for _ in 0..3 {
            seconds(&processes, 10, 10).await;
            seconds(&processes, 8, 0).await;
            let counted = sum(processes.iter().map(Process::counted));
            assert_eq!(processes[0].judged(), counted, "{fault:?}");
        }
        // Whatever the follower knows about its publications, it leaves the fleet with its last counts.
        let [driver, follower] = processes;
        follower.shop.calls(20).await;
        let counted = sum([driver.counted(), follower.counted()]);
        follower.controller.stop().await;
        seconds(&[&driver], 4, 0).await;
        assert_eq!(driver.judged(), counted, "{fault:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_is_carried_out_although_no_change_is_answered() {
    let store = test_store();
    store.fail_changes(0..usize::MAX, StoreFault::ResponseLost);
    let process = Process::new(&store, PLAN).await;
    process.command(Command::Start).await;
    assert_eq!(process.shop.canary.weight(), Weight::from_percent(10));
    for _ in 0..70 {
        second(&process.shop, 20).await;
    }
    assert_eq!(process.shop.canary.weight(), Weight::from_percent(50));
    assert_eq!(process.rollout.status().store_failures, []);
    // The evidence is stored, so that another process can continue.
    second(&process.shop, 0).await;
    second(&process.shop, 0).await;
    let counted = process.counted();
    drop(process);
    let process = Process::new(&store, PLAN).await;
    assert_eq!(process.judged(), counted);
    for _ in 0..90 {
        second(&process.shop, 20).await;
    }
    assert_eq!(stored_phase(&store).await, Phase::Promoted);
}
