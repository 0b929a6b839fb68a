//! The store goes back to an old backup: the fleet notices it, pauses, and no weight rises.

use serde_json::{Value, json};
use tokio::time::timeout;

use super::{
    engine::{Backup, Kind},
    replicas::Fleet,
    support::TIMEOUT,
};

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_a_higher_weight_raises_none_with_a_directory() {
    a_backup_raises_no_weight(Kind::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_a_higher_weight_raises_none_with_etcd() {
    a_backup_raises_no_weight(Kind::Etcd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_with_a_higher_weight_raises_none_with_postgres() {
    a_backup_raises_no_weight(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_outlives_a_backup_with_a_directory() {
    a_rollback_outlives_a_backup(Kind::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_outlives_a_backup_with_etcd() {
    a_rollback_outlives_a_backup(Kind::Etcd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_outlives_a_backup_with_postgres() {
    a_rollback_outlives_a_backup(Kind::Postgres).await;
}

async fn a_backup_raises_no_weight(kind: Kind) {
    let Some((mut fleet, backup)) = fleet_with_backup(kind).await else { return };
    fleet.command(1, json!({"command": "set_weight", "weight": "20%"})).await;
    // A plan whose weight an operator has set is paused.
    wait_for(&fleet, "paused", "20%").await;
    fleet.engine.restore(&backup);
    assert_the_loss_is_noticed(&fleet).await;
    fleet
        .wait_until("all say why they have paused", |views| {
            let reason = |view: &Value| view["summary"].to_string().contains(WENT_BACK);
            views.iter().all(|view| reason(view) && view["weight"] == "20%")
        })
        .await;
    // Nothing of the plan goes on without an operator, and no call was lost or judged twice.
    fleet.pause().await;
    fleet.wait_for_exact_evidence().await;
    wait_for(&fleet, "paused", "20%").await;
    // The plan then goes on at the weight of its step.
    fleet.command(0, json!({"command": "resume"})).await;
    wait_for(&fleet, "running", "50%").await;
}

async fn a_rollback_outlives_a_backup(kind: Kind) {
    let Some((mut fleet, backup)) = fleet_with_backup(kind).await else { return };
    fleet.command(1, json!({"command": "roll_back", "reason": "wrong totals"})).await;
    wait_for(&fleet, "rolled_back", "0%").await;
    fleet.pause().await;
    let canary = fleet.answers().canary;
    fleet.resume();
    fleet.engine.restore(&backup);
    assert_the_loss_is_noticed(&fleet).await;
    wait_for(&fleet, "rolled_back", "0%").await;
    for view in fleet.views().await {
        let summary = view["summary"].as_str().unwrap();
        assert!(summary.contains("wrong totals"), "the reason stays: {summary}");
    }
    fleet.pause().await;
    let answers = fleet.answers();
    assert_eq!(answers.canary, canary, "the canary got no further call");
    assert_eq!((answers.failed, answers.broken), (0, 0), "every call is answered");
}

/// Starts a fleet, and makes a backup while half of the calls are the canary's.
async fn fleet_with_backup(kind: Kind) -> Option<(Fleet, Backup)> {
    let engine = kind.start("a fleet whose store is restored")?;
    let fleet = Fleet::start(engine, 3, PLAN, &[]).await;
    fleet.resume();
    fleet.command(0, json!({"command": "skip_step"})).await;
    wait_for(&fleet, "running", "50%").await;
    let backup = fleet.engine.back_up();
    // A server of the store may have been away.
    fleet
        .wait_until("the store is there", |views| {
            views.iter().all(|view| view["storage"]["failures"] == json!([]))
        })
        .await;
    Some((fleet, backup))
}

async fn wait_for(fleet: &Fleet, phase: &str, weight: &str) {
    fleet
        .wait_until(&format!("all are {phase} at {weight}"), |views| {
            views.iter().all(|view| view["phase"] == phase && view["weight"] == weight)
        })
        .await;
}

/// Waits until the history has the loss, and asserts that no weight was above 20 % meanwhile.
async fn assert_the_loss_is_noticed(fleet: &Fleet) {
    let is_loss = |event: &Value| event["kind"] == "store_lost";
    let noticed = async {
        while !fleet.events(0).await.iter().any(is_loss) {
            for view in fleet.views().await {
                assert!(["0%", "20%"].contains(&view["weight"].as_str().unwrap()), "{view:#}");
            }
        }
    };
    timeout(TIMEOUT, noticed).await.expect("the loss should be noticed");
}

const WENT_BACK: &str = "the store went back to an older state";

const PLAN: &str = r#"
steps = [
    { weight = "10%", min_duration = "10h", deadline = "20h" },
    { weight = "50%", min_duration = "10h", deadline = "20h" },
    { weight = "90%", min_duration = "10h", deadline = "20h" },
]
monitors = [{ measure = "failures" }]
"#;
