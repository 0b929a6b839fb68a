use canary_tests::{control_plane::ControlPlane, skip::skip};
use serde_json::{Value, json};

use crate::python::Python;

#[tokio::test]
async fn botocore_controls_a_canary_as_a_stage_of_api_gateway() {
    let python = match Python::with_packages().await {
        Ok(python) => python,
        Err(reason) => return skip("botocore", reason),
    };
    rollout(python).await;
    refusals(python).await;
    documented_example(python).await;
}

async fn rollout(python: &Python) {
    let plane = ControlPlane::with_tokens().await;
    let stages = python.run("gateway.py", &["rollout", &plane.url(), "operate"]).await;

    let stage = |deployment: &str, variables: Value, canary: Option<Value>| {
        let mut stage =
            json!({"stageName": "prod", "deploymentId": deployment, "variables": variables});
        if let Some(canary) = canary {
            stage["canarySettings"] = canary;
        }
        stage
    };
    let canary = |percent: f64, overrides: Value| {
        Some(json!({
            "percentTraffic": percent, "deploymentId": "v2", "useStageCache": false,
            "stageVariableOverrides": overrides,
        }))
    };
    let before = json!({"backend": "b1", "limit": "20"});
    let after = json!({"backend": "b1", "limit": "20", "newVar": "newVal"});
    let promoted = stage("v2", after, canary(0.0, json!({})));
    let expected = [
        stage("v1", before.clone(), canary(0.0, json!({"backend": "b2"}))),
        stage("v1", before.clone(), canary(10.5, json!({"backend": "b9", "newVar": "newVal"}))),
        stage("v1", before, canary(10.5, json!({"newVar": "newVal"}))),
        promoted.clone(),
        promoted.clone(),
        promoted,
    ];
    assert_eq!(stages, json!(expected));
    let events = ["variables_set", "started", "weight_set", "variables_set", "promoted"];
    assert_eq!(plane.events(), events);
}

/// The script of the documentation, with another address and with the hook for a token.
async fn documented_example(python: &Python) {
    const PAGE: &str = include_str!("../../../crates/canary-admin/docs/gateway.md");
    let blocks: Vec<_> = PAGE.split("```").filter_map(|it| it.strip_prefix("python\n")).collect();
    let [script, hook] = blocks[..] else { panic!("{} scripts", blocks.len()) };
    let (setup, changes) = script.split_once("\n\nclient.update_stage").unwrap();
    let plane = ControlPlane::with_tokens().await;
    let setup = setup.replace("http://localhost:3000/canary", &plane.url());
    let script = format!("token = 'operate'\n{setup}\n{hook}\nclient.update_stage{changes}");
    assert_eq!(python.run_text(&script).await, json!(10.5));
    assert_eq!(plane.events(), ["variables_set", "started", "weight_set", "promoted"]);
}

async fn refusals(python: &Python) {
    let plane = ControlPlane::with_tokens().await;
    let url = plane.url();
    let seen = python.run("gateway.py", &["refusals", &url, "operate"]).await;
    for (seen, (exception, message)) in seen.as_array().unwrap().iter().zip([
        ("BadRequestException", "value \"abc\" is not a percentage"),
        ("BadRequestException", "path \"/tracingEnabled\" is not supported"),
        ("ConflictException", "100% is a promotion"),
        ("NotFoundException", "canary is \"cart\", expected shop"),
        ("NotFoundException", "stage is \"beta\", expected prod"),
    ]) {
        assert_eq!(seen[0], exception, "{seen}");
        assert!(seen[1].as_str().unwrap().contains(message), "{seen}");
    }
    assert_eq!(
        python.run("gateway.py", &["unauthorized", &url, "wrong"]).await,
        json!(["UnauthorizedException", "the token is not valid"]),
    );
    assert!(plane.events().is_empty());
}
