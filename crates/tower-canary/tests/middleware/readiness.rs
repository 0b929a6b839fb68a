//! Readiness of the channels: which of them gets a call, and which calls wait.

use std::{
    future::Future,
    pin::pin,
    sync::atomic::{AtomicBool, Ordering},
    task::{Context, Poll, Waker},
    thread,
};

use http::{Request, StatusCode};
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{Layer, Service, ServiceExt, limit::ConcurrencyLimit};
use tower_canary::{CanaryLayer, CanaryOptions, Channel, Tags, Weight};

use crate::support::{ALMOST_ALL, HALF, OnPoll, Readiness, ScriptedService, channel_of, counts};

const CALLS: u64 = 200;

fn stable() -> ScriptedService {
    ScriptedService::new()
}

/// A healthy canary, whose responses differ from those of [`stable`] by their status.
fn canary() -> ScriptedService {
    ScriptedService::new().status(StatusCode::ACCEPTED)
}

fn with_readiness(readiness: Readiness) -> ScriptedService {
    ScriptedService::new().readiness(readiness)
}

fn poll_ready<S: Service<Request<()>>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut Context::from_waker(Waker::noop()))
}

#[tokio::test]
async fn a_canary_that_is_not_ready_spills_its_calls_to_stable() {
    for readiness in [Readiness::Pending, Readiness::Fails, Readiness::Panics] {
        let layer = CanaryLayer::new("not-ready", with_readiness(readiness));
        layer.handle().set_weight(HALF).unwrap();
        let service = layer.layer(stable());
        for _ in 0..CALLS {
            let response = service.clone().oneshot(Request::new(())).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{readiness:?}");
            assert_eq!(channel_of(&response), "stable");
        }
        let counts = counts(&layer.handle());
        let canary = &counts.evidence.canary;
        assert!(canary.spilled > 0);
        assert_eq!(canary.spilled, canary.picked);
        assert_eq!(counts.excluded.stable.picked, canary.spilled);
        assert_eq!(counts.excluded.stable.success, canary.spilled);
        assert_eq!(counts.evidence.stable.success + canary.spilled, CALLS);
    }
}

#[test]
fn poll_ready_polls_stable_and_never_the_canary() {
    let layer = CanaryLayer::new("not-ready", with_readiness(Readiness::Panics));
    layer.handle().set_weight(ALMOST_ALL).unwrap();
    let mut service = layer.layer(with_readiness(Readiness::Pending));
    assert_pending!(poll_ready(&mut service));
    let mut service = layer.layer(with_readiness(Readiness::Fails));
    let error = assert_ready!(poll_ready(&mut service)).unwrap_err();
    assert_eq!(error.to_string(), "not ready");
    let mut service = layer.layer(stable());
    assert_ready_ok!(poll_ready(&mut service));
}

#[tokio::test]
async fn calls_wait_for_a_promoted_canary_and_not_for_stable() {
    let layer = CanaryLayer::new("promoted", canary());
    layer.handle().promote().unwrap();
    let mut service = layer.layer(with_readiness(Readiness::Pending));
    let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);

    let layer = CanaryLayer::new("promoted", with_readiness(Readiness::Pending));
    layer.handle().promote().unwrap();
    let mut call = task::spawn(layer.layer(stable()).oneshot(Request::new(())));
    assert_pending!(call.poll());
    assert_eq!(counts(&layer.handle()).evidence.canary.spilled, 0);

    // A rollback gives the waiting call to stable.
    layer.handle().roll_back();
    assert!(call.is_woken());
    assert_eq!(assert_ready_ok!(call.poll()).status(), StatusCode::OK);
    assert_eq!(counts(&layer.handle()).evidence.canary.spilled, 1);
}

#[test]
fn a_rollback_frees_a_call_that_was_ready_before_the_promotion() {
    let layer = CanaryLayer::new("promoted", with_readiness(Readiness::Pending));
    let mut service = layer.layer(stable());
    assert_ready_ok!(task::spawn(()).enter(|cx, _| { service.poll_ready(cx) }));
    layer.handle().promote().unwrap();
    let mut call = task::spawn(service.call(Request::new(())));
    assert_pending!(call.poll());
    layer.handle().roll_back();
    assert!(call.is_woken());
    assert_ready_ok!(call.poll());
}

#[test]
fn a_health_check_does_not_wait_for_a_promoted_canary() {
    let layer = CanaryLayer::new("promoted", with_readiness(Readiness::Pending));
    layer.handle().promote().unwrap();
    let check = Request::get("/healthz").body(()).unwrap();
    assert_ready_ok!(task::spawn(layer.layer(stable()).oneshot(check)).poll());
}

#[tokio::test]
async fn call_uses_the_current_weight_and_not_that_of_poll_ready() {
    let layer = CanaryLayer::new("racing", canary());
    let handle = layer.handle();
    let mut service = layer.layer(stable());
    for (before, after, status) in [
        (Weight::ZERO, Weight::FULL, StatusCode::ACCEPTED),
        (Weight::FULL, Weight::ZERO, StatusCode::OK),
        (HALF, Weight::ZERO, StatusCode::OK),
    ] {
        handle.set_weight(before).unwrap();
        let ready = service.ready().await.unwrap();
        handle.set_weight(after).unwrap();
        assert_eq!(ready.call(Request::new(())).await.unwrap().status(), status);
        // The same without a `poll_ready`.
        assert_eq!(service.clone().call(Request::new(())).await.unwrap().status(), status);
    }
}

#[test]
fn a_clone_does_not_inherit_readiness() {
    let layer = CanaryLayer::new("limited", canary());
    let limited = ConcurrencyLimit::new(stable(), 1);
    let mut service = layer.layer(limited);
    assert_ready_ok!(poll_ready(&mut service));
    let mut clone = service.clone();
    assert_pending!(poll_ready(&mut clone));
}

#[tokio::test]
async fn a_concurrency_limit_of_a_service_leaks_no_permit() {
    for weight in [Weight::ZERO, HALF, Weight::FULL] {
        let layer = CanaryLayer::new("limited", ConcurrencyLimit::new(canary(), 1));
        let handle = layer.handle();
        handle.set_weight(weight).unwrap();
        let first = layer.layer(ConcurrencyLimit::new(stable(), 1));
        let (mut first, mut second) = (first.clone(), first);
        for _ in 0..CALLS {
            for service in [&mut first, &mut second] {
                // Fails if the other clone has kept a permit.
                let ready = task::spawn(service.ready()).poll();
                let ready = assert_ready_ok!(ready);
                assert_ready_ok!(task::spawn(ready.call(Request::new(()))).poll());
            }
        }
        let counts = counts(&handle);
        assert_eq!(counts.evidence.canary.spilled, 0);
        assert_eq!(counts.evidence.stable.success + counts.evidence.canary.success, 2 * CALLS);
    }
}

#[test]
fn a_clone_that_no_longer_needs_stable_leaves_its_queue() {
    let layer = CanaryLayer::new("limited", ConcurrencyLimit::new(canary(), 1));
    let handle = layer.handle();
    let mut holder = layer.layer(ConcurrencyLimit::new(stable(), 1));
    let (mut waiting, mut third) = (holder.clone(), holder.clone());
    assert_ready_ok!(poll_ready(&mut holder));
    assert_pending!(poll_ready(&mut waiting));

    handle.promote().unwrap();
    assert_ready_ok!(poll_ready(&mut waiting));
    drop(holder);
    handle.roll_back();
    // Fails if the free permit went to `waiting`, which does not need it any more.
    assert_ready_ok!(poll_ready(&mut third));
}

#[test]
fn readiness_lasts_until_the_call() {
    let layer = CanaryLayer::new("steady", with_readiness(Readiness::Pending));
    let mut service = layer.layer(stable());
    assert_ready_ok!(poll_ready(&mut service));
    layer.handle().promote().unwrap();
    assert_ready_ok!(poll_ready(&mut service));
}

#[test]
fn a_hanging_canary_holds_up_only_its_own_calls() {
    let layer = CanaryLayer::new("hanging", ScriptedService::new().future(OnPoll::Hang));
    let handle = layer.handle();
    handle.set_weight(HALF).unwrap();
    let mut service = layer.layer(stable());
    let mut hanging = Vec::new();
    let mut answered = 0;
    for _ in 0..CALLS {
        let mut call = task::spawn(service.clone().call(Request::new(())));
        match call.poll() {
            Poll::Ready(response) => {
                assert_eq!(response.unwrap().status(), StatusCode::OK);
                answered += 1;
            }
            Poll::Pending => hanging.push(call),
        }
    }
    assert_eq!(counts(&handle).evidence.stable.success, answered);
    assert_eq!(handle.open(Channel::Canary), hanging.len() as u64);
    handle.roll_back();
    assert_ready_ok!(task::spawn(service.call(Request::new(()))).poll());
    drop(hanging);
    let canary = counts(&handle).evidence.canary;
    assert_eq!([canary.cancelled, canary.in_flight()], [canary.picked, 0]);
}

#[test]
fn a_call_that_spills_during_a_weight_change_is_counted() {
    let options = CanaryOptions::new().tags(Tags::none());
    let canary = with_readiness(Readiness::Pending);
    let layer = CanaryLayer::with_options("spill-race", canary, options);
    let handle = layer.handle();
    handle.set_weight(ALMOST_ALL).unwrap();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut service = layer.layer(stable());
            let mut cx = Context::from_waker(Waker::noop());
            while !stop.load(Ordering::Relaxed) {
                let _ = pin!(service.call(Request::new(()))).poll(&mut cx);
            }
        });
        for change in 0..20_000 {
            handle.set_weight(Weight::from_ppm(999_000 + change % 900)).unwrap();
        }
        stop.store(true, Ordering::Relaxed);
    });
    let counts = counts(&handle);
    assert_eq!(counts.evidence.canary.spilled, counts.excluded.stable.picked);
    assert_eq!(counts.excluded.stable.in_flight(), 0);
}
