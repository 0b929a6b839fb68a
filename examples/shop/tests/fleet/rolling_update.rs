//! A rolling update from image 2 (v1, v2) to image 3 (v2, v3), after v2 was promoted: no caller sees v1
//! again, and an old pod that restarts changes nothing.

use serde_json::{Value, json};

use super::{engine::Kind, replicas::Fleet};

#[tokio::test(flavor = "multi_thread")]
async fn an_old_pod_that_restarts_does_not_disturb_the_next_release_with_a_directory() {
    update(Kind::Directory).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_pod_that_restarts_does_not_disturb_the_next_release_with_etcd() {
    update(Kind::Etcd).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_pod_that_restarts_does_not_disturb_the_next_release_with_postgres() {
    update(Kind::Postgres).await;
}

async fn update(kind: Kind) {
    let Some(engine) = kind.start("a rolling update") else { return };
    let mut fleet = Fleet::start(engine, 3, PLAN, &IMAGE_2).await;
    fleet.resume();
    fleet.command(0, json!({"command": "promote_fully"})).await;
    wait_for_weights(&fleet, ["100%"; 3]).await;
    fleet.pause().await;
    let v1 = fleet.answers().v1;
    assert!(v1 > 0, "before the promotion, most calls were v1's");
    fleet.resume();

    // Two of three pods are replaced, the oldest first.
    fleet.ship(&IMAGE_3);
    for _ in 0..2 {
        fleet.join().await;
        fleet.resume();
        fleet.stop(0).await;
    }
    wait_for_weights(&fleet, ["100%", "0%", "0%"]).await;
    fleet.command(1, json!({"command": "start", "reason": "v3 is deployed"})).await;
    wait_for_weights(&fleet, ["100%", "10%", "10%"]).await;

    // The last old pod crashes, and comes back with its old image.
    fleet.ship(&IMAGE_2);
    fleet.kill(0).await;
    fleet.join().await;
    fleet.resume();
    wait_for_weights(&fleet, ["10%", "10%", "100%"]).await;
    for replica in &mut fleet.replicas {
        let before = replica.load.answers().complete();
        replica.load.wait_for(|it| it.complete() > before + 300).await;
    }
    wait_for_weights(&fleet, ["10%", "10%", "100%"]).await;
    for event in of_kind(&fleet, "started").await {
        assert_eq!(event["reason"], "v3 is deployed", "no old pod has started its own release");
    }

    // The update is completed, and the plan goes on with all pods.
    fleet.ship(&IMAGE_3);
    fleet.join().await;
    fleet.resume();
    fleet.stop(2).await;
    fleet.command(2, json!({"command": "skip_step"})).await;
    wait_for_weights(&fleet, ["50%"; 3]).await;
    fleet.pause().await;
    let answers = fleet.answers();
    assert_eq!(answers.v1, v1, "after the promotion of v2, no caller saw v1");
    assert!(answers.failed == 0 && answers.broken <= 1, "only the call of the crash: {answers:?}");
}

/// Waits until the data planes of the pods have these weights.
async fn wait_for_weights(fleet: &Fleet, weights: [&str; 3]) {
    fleet
        .wait_until(&format!("the weights are {weights:?}"), |views| {
            views.len() == weights.len()
                && views.iter().zip(weights).all(|(view, weight)| view["weight"] == weight)
        })
        .await;
}

/// Returns the events of this kind since the rollout is about v3.
async fn of_kind(fleet: &Fleet, kind: &str) -> Vec<Value> {
    let events = fleet.events(0).await;
    let of_v3 = events.iter().position(|event| event["reason"] == "v3 is deployed");
    let later = events.into_iter().skip(of_v3.expect("v3 was started"));
    later.filter(|event| event["kind"] == kind).collect()
}

const IMAGE_2: [&str; 4] = ["--stable-release", "v1", "--canary-release", "v2"];
const IMAGE_3: [&str; 5] = ["--stable-release", "v2", "--canary-release", "v3", "--wait-for-start"];

const PLAN: &str = r#"
steps = [
    { weight = "10%", min_duration = "10h", deadline = "20h" },
    { weight = "50%", min_duration = "10h", deadline = "20h" },
]
monitors = [{ measure = "failures" }]
"#;
