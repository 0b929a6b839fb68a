//! `call` polls the canary's readiness and calls it at once, before the returned future is polled.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Waker},
};

use http::{Request, StatusCode};
use tokio_test::{assert_pending, assert_ready, assert_ready_err, task};
use tower::{Layer, Service, limit::ConcurrencyLimit};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, CanaryService, Weight, control::ControlExt as _,
    counts::ChannelCounts,
};

use crate::support::{ALMOST_ALL, OnCall, Readiness, ScriptedService, channel_of};

/// A canary beside a stable that responds.
struct Mounted {
    handle: CanaryHandle,
    service: CanaryService<ScriptedService, ScriptedService>,
}

type Future = <CanaryService<ScriptedService, ScriptedService> as Service<Request<()>>>::Future;

impl Mounted {
    fn new(canary: ScriptedService, weight: Weight) -> Self {
        let layer = CanaryLayer::new("early", canary);
        layer.handle().set_weight(weight).unwrap();
        Self { handle: layer.handle(), service: layer.layer(ScriptedService::new()) }
    }

    fn call(&mut self) -> Future {
        assert!(poll_ready(&mut self.service));
        self.service.call(Request::new(()))
    }

    fn canary_counts(&self) -> ChannelCounts {
        self.handle.counts().total().evidence.canary
    }
}

fn poll_ready(service: &mut impl Service<Request<()>>) -> bool {
    service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
}

fn panics_in_poll_ready() -> ScriptedService {
    ScriptedService::new().readiness(Readiness::Panics)
}

#[test]
fn a_call_that_is_never_polled_reaches_the_canary_and_counts_as_cancelled() {
    let canary = ScriptedService::new();
    let mut mounted = Mounted::new(canary.clone(), ALMOST_ALL);
    drop(mounted.call());
    assert_eq!(canary.calls(), 1);
    let counts = mounted.canary_counts();
    assert_eq!([counts.picked, counts.cancelled, counts.ended()], [1, 1, 1]);
}

#[test]
fn a_panic_in_call_is_counted_even_if_the_future_is_never_polled() {
    let mut mounted = Mounted::new(ScriptedService::new().call(OnCall::Panic), ALMOST_ALL);
    let failures = Arc::new(AtomicUsize::new(0));
    mounted.handle.on_canary_failure({
        let failures = Arc::clone(&failures);
        move |_, _| {
            failures.fetch_add(1, Ordering::SeqCst);
        }
    });
    drop(mounted.call());
    let counts = mounted.canary_counts();
    assert_eq!([counts.panicked, counts.failure, counts.ended()], [1, 1, 1]);
    assert_eq!(failures.load(Ordering::SeqCst), 1);
}

#[test]
fn a_canary_that_panics_in_clone_or_poll_ready_spills() {
    let spills = |mut mounted: Mounted| {
        let response = assert_ready!(task::spawn(mounted.call()).poll()).unwrap();
        assert_eq!(channel_of(&response), "stable");
        assert_eq!(mounted.canary_counts().spilled, 1);
    };
    let canary = ScriptedService::new();
    let mounted = Mounted::new(canary.clone(), ALMOST_ALL);
    canary.panic_in_clone();
    spills(mounted);
    spills(Mounted::new(panics_in_poll_ready(), ALMOST_ALL));
}

#[test]
fn at_full_weight_the_canary_is_polled_once_and_its_result_is_final() {
    let canary = ScriptedService::new().readiness(Readiness::FailsOnce);
    let mut mounted = Mounted::new(canary.clone(), Weight::FULL);
    let error = assert_ready_err!(task::spawn(mounted.call()).poll());
    assert_eq!(error.to_string(), "not ready");
    assert_eq!(canary.polls(), 1);
    let counts = mounted.canary_counts();
    assert_eq!([counts.failure, counts.panicked, counts.ended()], [1, 0, 1]);

    let panics = |mut mounted: Mounted| {
        let response = assert_ready!(task::spawn(mounted.call()).poll()).unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let counts = mounted.canary_counts();
        assert_eq!([counts.failure, counts.panicked, counts.ended()], [1, 1, 1]);
    };
    panics(Mounted::new(panics_in_poll_ready(), Weight::FULL));
    let canary = ScriptedService::new();
    let mounted = Mounted::new(canary.clone(), Weight::FULL);
    canary.panic_in_clone();
    panics(mounted);

    let never_ready = ScriptedService::new().readiness(Readiness::Pending);
    let mut mounted = Mounted::new(never_ready, Weight::FULL);
    assert_pending!(task::spawn(mounted.call()).poll());
}

/// A task that makes many calls in a row exhausts tokio's cooperative budget after a few hundred.
#[cfg(feature = "tokio")]
#[tokio::test]
async fn an_exhausted_cooperative_budget_does_not_make_calls_spill() {
    let canary = tower::buffer::Buffer::new(ScriptedService::new(), 10_000);
    let layer = CanaryLayer::new("budget", canary);
    let handle = layer.handle();
    handle.set_weight(ALMOST_ALL).unwrap();
    let mut service = layer.layer(ScriptedService::new());
    let mut calls = Vec::new();
    for _ in 0..1000 {
        assert!(poll_ready(&mut service));
        calls.push(service.call(Request::new(())));
    }
    for call in calls {
        call.await.unwrap();
    }
    let counts = handle.counts().total().evidence.canary;
    // Stable gets one call in a million.
    assert!(counts.picked > 990, "{counts:?}");
    assert_eq!(counts.spilled, 0);
}

#[test]
fn a_call_that_is_never_polled_returns_its_permits() {
    let limited = || ConcurrencyLimit::new(ScriptedService::new(), 1);
    let options = CanaryOptions::new().concurrency_limit(1);
    let layer = CanaryLayer::with_options("limited", limited(), options);
    let handle = layer.handle();
    handle.set_weight(ALMOST_ALL).unwrap();
    let mut service = layer.layer(limited());
    for _ in 0..3 {
        assert!(poll_ready(&mut service));
        // Stable's permit is free as soon as the canary has the call.
        let call = service.call(Request::new(()));
        assert!(poll_ready(&mut service.clone()));
        drop(call);
    }
    let counts = handle.counts().total().evidence.canary;
    assert_eq!([counts.picked, counts.cancelled, counts.spilled], [3, 3, 0]);
}
