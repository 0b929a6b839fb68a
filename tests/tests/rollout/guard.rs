//! The guard halts a canary that fails every call after a few calls.

use std::sync::Arc;

use axum::{Router, body::Body, extract::Request, http::StatusCode, routing::get};
use canary_analysis::{Judge, Levels, Monitor};
use tower::ServiceExt;
use tower_canary::{
    CanaryLayer, SplitMode, Weight, axum::RouterExt, control::ControlExt, counts::Snapshot,
};

#[tokio::test]
async fn a_canary_that_fails_every_call_is_halted_within_three_calls() {
    let v1 = Router::new().route("/", get(|| async { "ok" }));
    let v2 = Router::new().route("/", get(|| async { StatusCode::INTERNAL_SERVER_ERROR }));
    let layer = CanaryLayer::new("guarded", v2);
    let canary = layer.handle();
    canary.set_weight(Weight::from_percent(1)).unwrap();

    let judge = Judge::try_new(Levels::default(), [Monitor::failures()]).unwrap();
    let read = {
        let canary = canary.clone();
        move || canary.counts()
    };
    let guard = Arc::new(judge.guard(Snapshot::default(), read).unwrap());
    canary.on_canary_failure(move |canary, weight| {
        if let Some(trip) = guard.canary_failed(weight) {
            canary.halt(trip.to_string());
        }
    });

    let app = v1.canary(layer);
    // At 1%, the canary gets three of this many calls in all but one of a billion runs.
    for _ in 0..3_000 {
        app.clone().oneshot(Request::new(Body::empty())).await.unwrap();
    }
    let counts = canary.counts().total().evidence.canary;
    assert!(counts.picked <= 3, "{} calls", counts.picked);
    assert!(matches!(canary.mode(), SplitMode::Halted { .. }), "{:?}", canary.mode());
    assert_eq!(canary.weight(), Weight::ZERO);
}
