//! The store is away for a while, or loses its data: every call is answered, and no weight rises.

use serde_json::{Value, json};

use super::{engine::Kind, replicas::Fleet};

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_serves_while_etcd_is_away_and_goes_on_afterwards() {
    serves_without_the_store(Kind::Etcd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_serves_while_postgres_is_away_and_goes_on_afterwards() {
    serves_without_the_store(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_starts_while_etcd_is_away_begins_with_its_copy() {
    begins_with_its_copy(Kind::Etcd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shop_that_starts_while_postgres_is_away_begins_with_its_copy() {
    begins_with_its_copy(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_pauses_when_its_directory_has_lost_its_data() {
    pauses_when_the_data_is_lost(Kind::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_pauses_when_etcd_has_lost_its_data() {
    pauses_when_the_data_is_lost(Kind::Etcd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_pauses_when_postgres_has_lost_its_data() {
    pauses_when_the_data_is_lost(Kind::Postgres).await;
}

/// The next step is due while the store is away.
async fn serves_without_the_store(kind: Kind) {
    let Some(engine) = kind.start("a fleet without its store") else { return };
    let mut fleet = Fleet::start(engine, 3, PLAN, &[]).await;
    fleet.resume();
    fleet.engine.kill();
    fleet
        .wait_until("all say that the store is away", |views| {
            views.iter().all(|view| view["storage"]["failures"] != json!([]))
        })
        .await;
    // More than the 2 s of the step.
    let seconds = super::rounds(5) as u64;
    for replica in &mut fleet.replicas {
        let before = replica.load.answers().complete();
        replica.load.wait_for(|it| it.complete() >= before + 100 * seconds).await;
    }
    for view in fleet.views().await {
        assert_eq!(
            (&view["weight"], &view["phase"]),
            (&json!("10%"), &json!("running")),
            "{view:#}"
        );
    }
    let metrics = fleet.replicas[0].shop.get("/metrics").await.text;
    let is_failing = |line: &str| line.starts_with("canary_store_failing{") && line.ends_with(" 1");
    assert!(metrics.lines().any(is_failing), "{metrics}");

    fleet.engine.restart();
    fleet
        .wait_until("the plan goes on", |views| {
            let is_well = |view: &Value| view["storage"]["failures"] == json!([]);
            views.iter().all(|view| view["weight"] == "50%" && is_well(view))
        })
        .await;
    fleet.pause().await;
    let answers = fleet.answers();
    assert_eq!((answers.failed, answers.broken), (0, 0), "every call is answered");
    fleet.wait_for_exact_evidence().await;
}

async fn begins_with_its_copy(kind: Kind) {
    let Some(engine) = kind.start("a shop that starts without its store") else { return };
    let copies = tempfile::tempdir().unwrap();
    let options = ["--copies", copies.path().to_str().unwrap()];
    let mut fleet = Fleet::start(engine, 1, PLAN, &options).await;
    fleet.engine.kill();
    fleet.kill(0).await;
    fleet.join().await;
    let view = &fleet.views().await[0];
    assert_eq!(view["weight"], "10%", "{view:#}");
    let status = view["status"].as_str().unwrap();
    assert!(status.contains("a copy of this machine is in force"), "{status}");
    fleet.resume();
    fleet.replicas[0].load.wait_for(|answers| answers.canary > 0).await;

    fleet.engine.restart();
    fleet.wait_until("the plan goes on", |views| views[0]["weight"] == "50%").await;
    fleet.pause().await;
    let answers = fleet.answers();
    assert_eq!((answers.failed, answers.broken), (0, 0), "every call is answered");
}

async fn pauses_when_the_data_is_lost(kind: Kind) {
    let Some(engine) = kind.start("a fleet whose store loses its data") else { return };
    let mut fleet = Fleet::start(engine, 3, PLAN, &[]).await;
    fleet.resume();
    fleet.engine.wipe();
    fleet
        .wait_until("all have paused", |views| {
            views.iter().all(|view| view["phase"] == "paused" && view["weight"] == "10%")
        })
        .await;
    for view in fleet.views().await {
        let summary = view["summary"].as_str().unwrap();
        assert!(summary.contains("store"), "the reason is named: {summary}");
    }
    fleet.pause().await;
    let answers = fleet.answers();
    assert_eq!((answers.failed, answers.broken), (0, 0), "every call is answered");
}

const PLAN: &str = r#"
steps = [
    { weight = "10%", min_duration = "4s", min_calls = 1, deadline = "5m" },
    { weight = "50%", min_duration = "10h", min_calls = 1, deadline = "20h" },
]
monitors = [{ measure = "failures" }]
"#;
