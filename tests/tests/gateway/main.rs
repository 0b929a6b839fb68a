//! The API of Amazon API Gateway for the canary of a stage, and the guards of the gRPC service, over
//! sockets.
#![expect(clippy::unwrap_used, reason = "a test that cannot continue fails")]

mod access;
mod bad_input;
mod changes;
mod grpc;

use canary_tests::{
    Answer,
    control_plane::{ControlPlane, json},
};
use http::Method;
use serde_json::{Value, json};

const STAGE: &str = "/restapis/shop/stages/prod";

async fn get(plane: &ControlPlane) -> Value {
    let answer = plane.ask(Method::GET, STAGE, &[], "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    json(&answer)
}

async fn patch(plane: &ControlPlane, operations: Value) -> Answer {
    let body = json!({ "patchOperations": operations }).to_string();
    plane.ask(Method::PATCH, STAGE, &[], body).await
}

/// Returns the message of a refusal, whose exception is `exception`.
fn message(answer: &Answer, exception: &str) -> String {
    let found = answer.headers.get("x-amzn-errortype").map(|it| it.to_str().unwrap());
    assert_eq!(found, Some(exception), "{} {}", answer.status, answer.body);
    assert_eq!(answer.headers["content-type"], "application/json");
    let body = json(answer);
    assert_eq!(body.as_object().unwrap().len(), 1, "{body}");
    body["message"].as_str().unwrap().to_owned()
}

fn replace(path: &str, value: &str) -> Value {
    json!({"op": "replace", "path": path, "value": value})
}

fn percent_traffic(value: &str) -> Value {
    replace("/canarySettings/percentTraffic", value)
}

fn promotion() -> Value {
    json!([
        percent_traffic("0.0"),
        {"op": "copy", "from": "/canarySettings/stageVariableOverrides", "path": "/variables"},
        {"op": "copy", "from": "/canarySettings/deploymentId", "path": "/deploymentId"},
    ])
}
