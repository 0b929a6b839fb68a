//! A plan goes on by the calls of all replicas.

use serde_json::Value;
use tokio::time::timeout;

use super::{
    engine::Kind,
    replicas::{Fleet, evidence},
    support::{Shop, TIMEOUT},
};

#[tokio::test(flavor = "multi_thread")]
async fn replicas_promote_on_the_sum_of_their_calls_with_a_directory() {
    promotes_on_the_sum(Kind::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_promote_on_the_sum_of_their_calls_with_etcd() {
    promotes_on_the_sum(Kind::Etcd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_promote_on_the_sum_of_their_calls_with_postgres() {
    promotes_on_the_sum(Kind::Postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_roll_back_on_the_sum_of_their_failures_with_a_directory() {
    rolls_back_on_the_sum(Kind::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_roll_back_on_the_sum_of_their_failures_with_etcd() {
    rolls_back_on_the_sum(Kind::Etcd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_roll_back_on_the_sum_of_their_failures_with_postgres() {
    rolls_back_on_the_sum(Kind::Postgres).await;
}

/// The step needs more canary calls than any replica has at its end.
async fn promotes_on_the_sum(kind: Kind) {
    let Some(engine) = kind.start("promotes on the sum") else { return };
    let plan = r#"
        steps = [{ weight = "50%", min_duration = "1s", min_calls = 900 }]
        monitors = [{ measure = "failures" }]
        bake = { duration = "1s", holdback = "20%" }
    "#;
    let fleet = Fleet::start(engine, 3, plan, &[]).await;
    fleet.resume();
    let is_over = |view: &Value| view["phase"] == "baking" || view["phase"] == "promoted";
    fleet.wait_until("the step is over", |views| views.iter().any(is_over)).await;
    let answers: Vec<_> = fleet.replicas.iter().map(|it| it.load.answers().canary).collect();
    assert!(answers.iter().all(|calls| *calls < 900), "no replica has enough: {answers:?}");
    fleet
        .wait_until("all are promoted", |views| {
            views.iter().all(|view| view["phase"] == "promoted" && view["weight"] == "100%")
        })
        .await;
}

/// Each replica sees one failure of the canary, which is no evidence.
async fn rolls_back_on_the_sum(kind: Kind) {
    let Some(engine) = kind.start("rolls back on the sum") else { return };
    let plan = r#"
        steps = [{ weight = "1%", min_duration = "10h", deadline = "20h" }]
        monitors = [{ measure = "failures" }]
    "#;
    let fleet = Fleet::start(engine, 3, plan, &["--v2-error-rate", "100%"]).await;
    fail_once(&fleet.replicas[0].shop).await;
    let has_failure = |view: &Value| evidence(view).is_some_and(|(_, canary)| canary == 1);
    fleet.wait_until("all know the failure", |views| views.iter().all(has_failure)).await;
    let views = fleet.views().await;
    assert!(views.iter().all(|view| view["phase"] == "running"), "{views:#?}");

    // The failures of two replicas can be enough. Then the third has none.
    for replica in &fleet.replicas[1..] {
        fail_once(&replica.shop).await;
    }
    fleet
        .wait_until("all have rolled back", |views| {
            views.iter().all(|view| view["phase"] == "rolled_back" && view["weight"] == "0%")
        })
        .await;
}

/// Calls a shop until its canary fails once, or until it has rolled back.
async fn fail_once(shop: &Shop) {
    let fail = async {
        for number in 1.. {
            let channel = shop.get("/products/1").await.headers["x-canary-channel"].clone();
            if channel == "canary"
                || number % 100 == 0 && shop.view().await["phase"] == "rolled_back"
            {
                break;
            }
        }
    };
    timeout(TIMEOUT, fail).await.expect("the canary should get a call");
}
