//! Errors and panics of a service, and the responses to its callers.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    task::Poll,
};

use http::{Request, StatusCode};
use http_body::Body;
use tokio_test::{assert_ready, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt};
use tower_canary::{CanaryLayer, Weight};

use crate::support::{
    ALMOST_ALL, HALF, OnCall, OnPoll, Readiness, ScriptedBody, ScriptedService, Step, channel_of,
    counts, grpc_request,
};

const CALLS: u64 = 200;

#[tokio::test]
async fn a_panic_of_the_canary_fails_only_the_call_that_panics() {
    for canary in
        [ScriptedService::new().call(OnCall::Panic), ScriptedService::new().future(OnPoll::Panic)]
    {
        let name = format!("{canary:?}");
        let layer = CanaryLayer::new("panics", canary);
        layer.handle().set_weight(HALF).unwrap();
        let service = layer.layer(ScriptedService::new());
        for _ in 0..CALLS {
            let response = service.clone().oneshot(Request::new(())).await.unwrap();
            match channel_of(&response) {
                "stable" => assert_eq!(response.status(), StatusCode::OK),
                _ => assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
        let counts = counts(&layer.handle());
        let canary = &counts.evidence.canary;
        assert_eq!([canary.failure, canary.panicked], [canary.picked; 2], "{name}");
        assert_eq!(counts.evidence.stable.success, counts.evidence.stable.picked);
    }
}

#[tokio::test]
async fn a_grpc_call_gets_a_grpc_status_for_a_panic() {
    let layer = CanaryLayer::new("panics", ScriptedService::new().future(OnPoll::Panic));
    layer.handle().promote().unwrap();
    let service = layer.layer(ScriptedService::new());
    let response = service.oneshot(grpc_request()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "13");
    assert_eq!(response.headers()["content-type"], "application/grpc");
}

#[tokio::test]
async fn errors_of_a_service_pass_unchanged_and_count_as_failures() {
    let layer = CanaryLayer::new("fails", ScriptedService::new().future(OnPoll::Fail));
    layer.handle().set_weight(Weight::FULL).unwrap();
    let service = layer.layer(ScriptedService::new());
    let error = service.oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(error.to_string(), "the call failed");
    assert_eq!(counts(&layer.handle()).evidence.canary.failure, 1);
}

#[tokio::test]
async fn a_promoted_canary_that_fails_readiness_fails_its_calls() {
    let layer = CanaryLayer::new("promoted", ScriptedService::new().readiness(Readiness::Fails));
    layer.handle().promote().unwrap();
    let service = layer.layer(ScriptedService::new());
    let error = service.oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(error.to_string(), "not ready");
    assert_eq!(counts(&layer.handle()).evidence.canary.failure, 1);
}

#[tokio::test]
async fn a_panic_of_a_promoted_canary_in_poll_ready_becomes_status_500() {
    let layer = CanaryLayer::new("promoted", ScriptedService::new().readiness(Readiness::Panics));
    layer.handle().promote().unwrap();
    let service = layer.layer(ScriptedService::new());
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(counts(&layer.handle()).evidence.canary.panicked, 1);
}

#[tokio::test]
async fn a_panic_in_is_end_stream_before_the_first_frame_becomes_status_500() {
    let body = ScriptedBody::new([Step::PanicInIsEndStream]).length(1);
    let layer = CanaryLayer::new("end", ScriptedService::new().body(body));
    layer.handle().promote().unwrap();
    let service = layer.layer(ScriptedService::new());
    let response = service.oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.status(), 500);
    assert_eq!(counts(&layer.handle()).evidence.canary.panicked, 1);
}

#[tokio::test]
async fn a_panic_in_is_end_stream_after_a_frame_ends_the_body_with_an_error() {
    let body = ScriptedBody::new([Step::Data("x"), Step::PanicInIsEndStream]).length(1);
    let layer = CanaryLayer::new("frame", ScriptedService::new().body(body));
    layer.handle().promote().unwrap();
    let service = layer.layer(ScriptedService::new());
    let response = service.oneshot(Request::new(())).await.unwrap();
    let mut body = task::spawn(response.into_body());
    let Poll::Ready(Some(Err(_))) = body.enter(|cx, body| body.poll_frame(cx)) else {
        panic!("expected an error from the body that panicked");
    };
    assert!(body.is_end_stream(), "a body that has panicked is not polled again");
    assert_eq!(counts(&layer.handle()).evidence.canary.panicked, 1);
}

/// How often a body answers `is_end_stream` and `size_hint` before it panics, and the status that
/// the caller of a canary with this body gets.
const PANICS: [([usize; 2], StatusCode); 5] = [
    ([0, 9], StatusCode::INTERNAL_SERVER_ERROR),
    ([9, 0], StatusCode::INTERNAL_SERVER_ERROR),
    ([1, 9], StatusCode::OK),
    ([2, 9], StatusCode::OK),
    ([9, 1], StatusCode::OK),
];

fn with_answers([is_end_stream, size_hint]: [usize; 2]) -> ScriptedService {
    let body = ScriptedBody::new([Step::Data("x"); 4])
        .length(4)
        .end_stream_answers(is_end_stream)
        .size_hint_answers(size_hint);
    ScriptedService::new().body(body)
}

/// Calls a service and reads its body as servers do, for up to three frames.
fn read<S, B>(service: S) -> StatusCode
where
    S: Service<Request<()>, Response = http::Response<B>, Error = tower::BoxError>,
    B: Body,
{
    let response = assert_ready!(task::spawn(service.oneshot(Request::new(()))).poll()).unwrap();
    let (status, mut body) = (response.status(), task::spawn(Box::pin(response.into_body())));
    for _ in 0..3 {
        if body.is_end_stream() {
            break;
        }
        let _ = body.size_hint();
        let _ = body.enter(|cx, body| body.get_mut().as_mut().poll_frame(cx));
    }
    status
}

#[test]
fn a_panic_in_is_end_stream_or_size_hint_of_the_canary_does_not_reach_the_caller() {
    for (answers, status) in PANICS {
        let layer = CanaryLayer::new("panics", with_answers(answers));
        layer.handle().set_weight(ALMOST_ALL).unwrap();
        assert_eq!(read(layer.layer(with_answers(answers))), status, "{answers:?}");
        let counts = counts(&layer.handle()).evidence.canary;
        // A panic in `size_hint` after the head becomes an unknown size and is not counted.
        let panics = u64::from(answers != [9, 1]);
        assert_eq!(counts.panicked, panics, "{answers:?}");
        assert_eq!([counts.picked, counts.ended()], [1, 1], "{answers:?}");
    }
}

#[test]
fn a_panic_in_is_end_stream_or_size_hint_of_stable_is_counted_and_resumed() {
    for answers in [[0, 9], [9, 0], [2, 9]] {
        let layer = CanaryLayer::new("panics", with_answers(answers));
        let service = layer.layer(with_answers(answers));
        assert!(catch_unwind(AssertUnwindSafe(|| read(service))).is_err());
        let counts = counts(&layer.handle()).evidence.stable;
        assert_eq!([counts.panicked, counts.failure, counts.ended()], [1, 1, 1], "{answers:?}");
    }
}

#[test]
fn a_clone_that_panicked_is_not_used_again() {
    let canary = ScriptedService::new().call(OnCall::Panic);
    let layer = CanaryLayer::new("panics", canary.clone());
    layer.handle().promote().unwrap();
    let mut service = layer.layer(ScriptedService::new());
    for _ in 0..2 {
        assert_ready_ok!(task::spawn(()).enter(|cx, _| { service.poll_ready(cx) }));
        assert_ready_ok!(task::spawn(service.call(Request::new(()))).poll());
    }
    assert_eq!(canary.calls(), 2);
    assert_eq!(canary.uses_after_panic(), 0);
}

#[test]
fn a_canary_that_panics_in_poll_ready_and_again_in_drop_spills() {
    let canary = ScriptedService::new().readiness(Readiness::Panics).panic_in_drop();
    let layer = CanaryLayer::new("panics", canary);
    layer.handle().set_weight(ALMOST_ALL).unwrap();
    let mut service = layer.layer(ScriptedService::new());
    let response = assert_ready_ok!(task::spawn(service.call(Request::new(()))).poll());
    assert_eq!(channel_of(&response), "stable");
}
