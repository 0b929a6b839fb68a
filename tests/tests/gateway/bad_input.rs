use canary_tests::control_plane::ControlPlane;
use http::Method;
use serde_json::{Value, json};

use super::{STAGE, get, message, patch, percent_traffic, replace};

/// Sends a body and checks that nothing has changed. Returns the message.
async fn refused(plane: &ControlPlane, body: &str, exception: &str) -> String {
    let before = get(plane).await;
    let answer = plane.ask(Method::PATCH, STAGE, &[], body.to_owned()).await;
    assert!(answer.status.is_client_error(), "{body}: {}", answer.status);
    let message = message(&answer, exception);
    assert_eq!(get(plane).await, before, "{body}");
    assert_eq!(plane.events(), ["started", "weight_set"], "{body}");
    message
}

async fn plane() -> ControlPlane {
    let plane = ControlPlane::start().await;
    assert_eq!(patch(&plane, json!([percent_traffic("10")])).await.status, 200);
    plane
}

#[tokio::test]
async fn a_body_that_is_no_patch_is_a_bad_request() {
    let plane = plane().await;
    for (body, expected) in [
        ("", "EOF while parsing a value"),
        ("{", "EOF while parsing an object"),
        (r#"[{"op":"remove","path":"/canarySettings"}]"#, "invalid type: map, expected a sequence"),
        (r#"{"patchOperations":1}"#, "invalid type: integer `1`, expected a sequence"),
        (
            r#"{"patchoperations":[]}"#,
            "unknown field `patchoperations`, expected `patchOperations`",
        ),
        (r#"{"patchOperations":[]}x"#, "trailing characters"),
        (r#"{"patchOperations":[{"op":"replace"}]}"#, "missing field `path`"),
        (
            r#"{"patchOperations":[{"op":"set","path":"/variables/a"}]}"#,
            "unknown variant `set`, expected one of `add`, `remove`",
        ),
        (
            r#"{"patchOperations":[{"op":"replace","path":"/variables/a","value":1e400}]}"#,
            "number out of range",
        ),
        (
            r#"{"patchOperations":[{"op":"replace","path":"/canarySettings/percentTraffic","value":10}]}"#,
            "invalid type: integer `10`, expected a string",
        ),
    ] {
        let message = refused(&plane, body, "BadRequestException").await;
        assert!(message.contains(expected), "{body}: {message}");
    }
}

#[tokio::test]
async fn an_operation_with_a_bad_value_is_refused_with_all_others() {
    let plane = plane().await;
    let good = replace("/variables/backend", "b9");
    let percent = |value: &str| {
        let expected =
            format!("value {value:?} is not a percentage: expected \"0.0\" to \"100.0\"");
        (percent_traffic(value), expected)
    };
    let operations = [
        percent("abc"),
        percent("-1"),
        percent("100.1"),
        percent("NaN"),
        percent("1e400"),
        percent("10.00001"),
        (replace("/description", "x"), "path \"/description\" is not supported".to_owned()),
        (replace("/variables/backend", "b8"), "is changed again".to_owned()),
        (
            json!({"op": "remove", "path": "/canarySettings/stageVariableOverrides/x"}),
            "there is no override \"x\" to remove: expected \"backend\"".to_owned(),
        ),
        (
            replace("/variables/limit", "secret"),
            "\"limit\" has another type: expected a number".to_owned(),
        ),
        (
            replace("/canarySettings/useStageCache", "true"),
            "useStageCache cannot become true: expected false".to_owned(),
        ),
        (
            json!({"op": "copy", "path": "/canarySettings/stageVariableOverrides", "from": "/variables"}),
            "operation \"copy\" is not supported".to_owned(),
        ),
    ];
    for (operation, expected) in operations {
        let body = json!({"patchOperations": [good, operation]}).to_string();
        let message = refused(&plane, &body, "BadRequestException").await;
        assert!(message.contains(&expected), "{body}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
}

#[tokio::test]
async fn too_many_or_too_long_operations_are_refused() {
    let plane = plane().await;
    let operations: Vec<Value> =
        (0..70).map(|name| replace(&format!("/variables/v{name}"), "")).collect();
    let body = json!({ "patchOperations": operations }).to_string();
    let message = refused(&plane, &body, "BadRequestException").await;
    assert_eq!(message, "patchOperations has 70 operations: expected at most 64");

    let long = "x".repeat(70_000);
    let body = json!({"patchOperations": [replace("/variables/a", &long)]}).to_string();
    refused(&plane, &body, "BadRequestException").await;

    // The rollout stores at most 2 KiB.
    let long = "x".repeat(3_000);
    let body = json!({"patchOperations": [replace("/variables/a", &long)]}).to_string();
    let message = refused(&plane, &body, "ConflictException").await;
    assert!(message.contains("expected at most 2048"), "{message}");
}

#[tokio::test]
async fn a_full_percentage_is_refused_because_it_is_a_promotion() {
    let plane = plane().await;
    let body =
        json!({"patchOperations": [replace("/variables/backend", "b9"), percent_traffic("100.0")]});
    let message = refused(&plane, &body.to_string(), "ConflictException").await;
    assert!(message.contains("100% is a promotion"), "{message}");
}

#[tokio::test]
async fn unknown_canaries_and_stages_are_not_found() {
    let plane = plane().await;
    for (path, expected) in [
        ("/restapis/cart/stages/prod", "canary is \"cart\", expected shop"),
        ("/restapis/shop/stages/beta", "stage is \"beta\", expected prod"),
        ("/restapis/shop/stages", "there is no such path"),
    ] {
        let answer = plane.ask(Method::GET, path, &[], "").await;
        assert_eq!(answer.status, 404);
        let message = message(&answer, "NotFoundException");
        assert!(message.contains(expected), "{message}");
    }
}
