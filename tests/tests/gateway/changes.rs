use canary_controller::{Phase, Verdict};
use canary_tests::control_plane::{ControlPlane, ada, json};
use serde_json::json;
use tower_canary::{Channel, Weight};

use super::{get, message, patch, percent_traffic, promotion, replace};

#[tokio::test]
async fn a_percentage_and_variables_change_together() {
    let plane = ControlPlane::start().await;
    let before = get(&plane).await;
    assert_eq!(before["deploymentId"], "v1");
    assert_eq!(before["canarySettings"]["percentTraffic"], 0.0);
    assert_eq!(before["variables"], json!({"backend": "b1", "limit": "20"}));

    let operations = json!([
        percent_traffic("10.5"),
        replace("/canarySettings/stageVariableOverrides/limit", "30"),
        {"op": "remove", "path": "/canarySettings/stageVariableOverrides/backend"},
        replace("/variables/greeting", "hello"),
    ]);
    let answer = patch(&plane, operations).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let after = json(&answer);
    assert_eq!(
        after["canarySettings"],
        json!({
            "percentTraffic": 10.5, "deploymentId": "v2", "useStageCache": false,
            "stageVariableOverrides": {"limit": "30"},
        }),
    );
    assert_eq!(after["variables"], json!({"backend": "b1", "limit": "20", "greeting": "hello"}));
    assert!(after["lastUpdatedDate"].is_i64() && after["createdDate"].is_i64());
    assert_eq!(get(&plane).await, after);

    let canary = plane.rollout().canary();
    assert_eq!(canary.weight(), Weight::from_ppm(105_000));
    let variables = canary.variables(Channel::Canary);
    assert_eq!(variables.read::<u32>("limit").unwrap(), 30);
    assert_eq!(variables.text("backend"), Some("b1"));
    assert_eq!(plane.events(), ["variables_set", "started", "weight_set"]);
    let status = plane.rollout().status();
    let event = status.rollout.history().next_back().unwrap();
    assert_eq!(
        (event.by.to_string().as_str(), event.reason.as_str()),
        ("localhost", "patch of stage prod")
    );
}

#[tokio::test]
async fn a_promotion_merges_the_variables_and_stays_when_the_canary_is_removed() {
    let plane = ControlPlane::start().await;
    assert_eq!(patch(&plane, json!([percent_traffic("10")])).await.status, 200);

    let promoted = json(&patch(&plane, promotion()).await);
    assert_eq!(promoted["deploymentId"], "v2");
    assert_eq!(promoted["canarySettings"]["percentTraffic"], 0.0);
    assert_eq!(promoted["variables"], json!({"backend": "b2", "limit": "20"}));
    assert_eq!(plane.rollout().canary().weight(), Weight::FULL);

    // A retry, and the clean-up that the gateway needs after a promotion.
    assert_eq!(patch(&plane, promotion()).await.status, 200);
    let remove = json!([{"op": "remove", "path": "/canarySettings"}]);
    assert_eq!(patch(&plane, remove).await.status, 200);
    assert_eq!(plane.rollout().status().rollout.phase(), Phase::Promoted);
    assert_eq!(plane.rollout().canary().weight(), Weight::FULL);

    let undone = json(&patch(&plane, json!([replace("/deploymentId", "v1")])).await);
    assert_eq!(undone["deploymentId"], "v1");
    assert_eq!(undone["variables"], json!({"backend": "b1", "limit": "20"}));
    assert_eq!(plane.rollout().canary().weight(), Weight::ZERO);
}

#[tokio::test]
async fn removing_the_canary_rolls_back_and_only_a_start_brings_it_back() {
    let plane = ControlPlane::start().await;
    patch(&plane, json!([percent_traffic("10")])).await;
    let remove = json!([{"op": "remove", "path": "/canarySettings"}]);
    for _ in 0..2 {
        let stage = json(&patch(&plane, remove.clone()).await);
        assert_eq!(stage.get("canarySettings"), None, "{stage}");
        assert_eq!(plane.rollout().canary().weight(), Weight::ZERO);
    }
    assert_eq!(plane.events().last().unwrap(), "rolled_back");

    let answer = patch(&plane, json!([percent_traffic("10")])).await;
    let message = message(&answer, "ConflictException");
    assert!(message.contains("after a rollback only a new start raises the weight"), "{message}");
    plane.rollout().start(ada(), "again").await.unwrap();
    assert_eq!(patch(&plane, json!([percent_traffic("10")])).await.status, 200);
}

#[tokio::test]
async fn a_percentage_pauses_a_plan() {
    let plan = "steps = [{ weight = '10%', min_duration = '1h' }]";
    let plane = ControlPlane::of_plan(plan).await;
    plane.rollout().start(ada(), "").await.unwrap();
    let stage = json(&patch(&plane, json!([percent_traffic("2.5")])).await);
    assert_eq!(stage["canarySettings"]["percentTraffic"], 2.5);
    let status = plane.rollout().status();
    assert_eq!(
        (status.rollout.phase(), status.judgment.verdict),
        (Phase::Paused, Verdict::Inconclusive)
    );
    assert!(stage["description"].as_str().unwrap().contains("paused"), "{stage}");
}

#[tokio::test]
async fn a_bake_begins_after_the_promotion_of_a_plan_that_has_one() {
    let plan = "steps = [{ weight = '10%', min_duration = '1h' }]\n\
                bake = { duration = '1h', holdback = '1%' }";
    let plane = ControlPlane::of_plan(plan).await;
    plane.rollout().start(ada(), "").await.unwrap();
    let stage = json(&patch(&plane, promotion()).await);
    assert_eq!(stage["deploymentId"], "v1");
    assert_eq!(stage["canarySettings"]["percentTraffic"], 99.0);
    assert_eq!(plane.rollout().status().rollout.phase(), Phase::Baking);
}

#[tokio::test]
async fn a_test_protects_a_change_against_a_change_by_another_operator() {
    let plane = ControlPlane::start().await;
    patch(&plane, json!([percent_traffic("10")])).await;
    let guarded = json!([
        {"op": "test", "path": "/canarySettings/percentTraffic", "value": "10"},
        percent_traffic("20"),
    ]);
    plane.rollout().set_weight(ada(), Weight::from_percent(5), "too many errors").await.unwrap();
    let message = message(&patch(&plane, guarded).await, "ConflictException");
    assert!(
        message.starts_with("/canarySettings/percentTraffic is not \"10\": it is 5%"),
        "{message}"
    );
    assert_eq!(plane.rollout().canary().weight(), Weight::from_percent(5));
}

#[tokio::test]
async fn concurrent_changes_are_all_carried_out() {
    let plane = ControlPlane::start().await;
    let names: Vec<_> = (0..4).map(|name| format!("v{name}")).collect();
    let patches = names
        .iter()
        .map(|name| patch(&plane, json!([replace(&format!("/variables/{name}"), "1")])));
    for answer in futures_util::future::join_all(patches).await {
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
    let variables = get(&plane).await["variables"].clone();
    assert!(names.iter().all(|name| variables[name] == "1"), "{variables}");
}

#[tokio::test]
async fn of_concurrent_changes_that_expect_the_same_state_one_is_carried_out() {
    let plane = ControlPlane::start().await;
    patch(&plane, json!([percent_traffic("10")])).await;
    let patches = ["20", "30", "40", "50"].map(|weight| {
        let test = json!({"op": "test", "path": "/canarySettings/percentTraffic", "value": "10"});
        patch(&plane, json!([test, percent_traffic(weight)]))
    });
    let answers = futures_util::future::join_all(patches).await;
    let (done, refused): (Vec<_>, Vec<_>) =
        answers.iter().partition(|answer| answer.status.is_success());
    assert_eq!(done.len(), 1, "{answers:?}");
    for answer in refused {
        message(answer, "ConflictException");
    }
}
