use canary_tests::control_plane::{ControlPlane, json};
use http::Method;
use serde_json::json;
use tower_canary::Weight;

use super::{STAGE, message, percent_traffic};

fn weight() -> String {
    json!({"patchOperations": [percent_traffic("10")]}).to_string()
}

#[tokio::test]
async fn a_signed_or_anonymous_request_is_unauthorized() {
    let plane = ControlPlane::with_tokens().await;
    let signature = "AWS4-HMAC-SHA256 Credential=AKID/20261129/us-east-1/apigateway/aws4_request";
    for (headers, expected) in [
        (&[][..], "needs the header `Authorization: Bearer TOKEN`"),
        (&[("authorization", "Bearer wrong")][..], "the token is not valid"),
        (
            &[("authorization", signature)][..],
            "a signature of AWS, which this server does not check",
        ),
    ] {
        for method in [Method::GET, Method::PATCH] {
            let answer = plane.ask(method, STAGE, headers, weight()).await;
            assert_eq!(answer.status, 401);
            let message = message(&answer, "UnauthorizedException");
            assert!(message.contains(expected), "{message}");
        }
    }
    assert_eq!(plane.rollout().canary().weight(), Weight::ZERO);
    assert!(plane.events().is_empty());
}

#[tokio::test]
async fn a_signature_is_refused_on_loopback_too() {
    let plane = ControlPlane::start().await;
    let headers = [("authorization", "AWS4-HMAC-SHA256 Credential=AKID")];
    let answer = plane.ask(Method::PATCH, STAGE, &headers, weight()).await;
    message(&answer, "UnauthorizedException");
    assert!(plane.events().is_empty());
}

#[tokio::test]
async fn only_operators_change_the_stage_and_see_values() {
    let plane = ControlPlane::with_tokens().await;
    let view = [("authorization", "Bearer view")];
    let stage = plane.ask(Method::GET, STAGE, &view, "").await;
    assert_eq!(stage.status, 200);
    assert!(!stage.body.contains("b1") && !stage.body.contains("b2"), "{}", stage.body);
    let answer = plane.ask(Method::PATCH, STAGE, &view, weight()).await;
    assert_eq!(answer.status, 403);
    let message = message(&answer, "AccessDeniedException");
    assert_eq!(message, "this needs the role operate, and watcher has view");
    assert!(plane.events().is_empty());

    let operate = [("authorization", "Bearer operate")];
    let answer = plane.ask(Method::PATCH, STAGE, &operate, weight()).await;
    assert_eq!(json(&answer)["variables"]["backend"], "b1");
    let status = plane.rollout().status();
    assert_eq!(status.rollout.history().next_back().unwrap().by.to_string(), "ada");
}

#[tokio::test]
async fn a_website_cannot_reach_the_stage() {
    let plane = ControlPlane::start().await;
    for (headers, exception) in [
        ([("host", "evil.example")], "AccessDeniedException"),
        ([("origin", "http://evil.example")], "AccessDeniedException"),
        ([("sec-fetch-site", "cross-site")], "AccessDeniedException"),
        ([("content-type", "text/plain")], "BadRequestException"),
    ] {
        let answer = plane.ask(Method::PATCH, STAGE, &headers, weight()).await;
        message(&answer, exception);
    }
    assert!(plane.events().is_empty());
}
