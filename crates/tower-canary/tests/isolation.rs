//! A sick canary cannot hurt stable.
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    future::{Pending, Ready, pending, ready},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use http::{Request, Response, StatusCode, header};
use http_body_util::Empty;
use tokio_test::{assert_pending, assert_ready, assert_ready_ok, task};
use tower::{
    BoxError, Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn,
    util::BoxCloneService,
};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, Channel, Tags, UnifyBody, Weight, control::ControlExt,
};

type Body = Empty<bytes::Bytes>;
type Boxed = BoxCloneService<Request<()>, Response<Body>, BoxError>;

/// Says who answered, by the status.
fn answer(status: StatusCode) -> Boxed {
    let answer = move |_: Request<()>| {
        let mut response = Response::new(Body::new());
        *response.status_mut() = status;
        ready(Ok::<_, BoxError>(response))
    };
    BoxCloneService::new(service_fn(answer))
}

fn stable() -> Boxed {
    answer(StatusCode::OK)
}

fn healthy_canary() -> Boxed {
    answer(StatusCode::ACCEPTED)
}

/// A canary that is sick in one place, and answers otherwise.
#[derive(Clone, Copy, Debug)]
enum Sick {
    NeverReady,
    FailsReadiness,
    PanicsInPollReady,
    PanicsInCall,
    PanicsInPoll,
    Fails,
}

impl Service<Request<()>> for Sick {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = futures_util::future::Either<
        Ready<Result<Response<Body>, BoxError>>,
        futures_util::future::PollFn<
            fn(&mut Context<'_>) -> Poll<Result<Response<Body>, BoxError>>,
        >,
    >;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::NeverReady => Poll::Pending,
            Self::FailsReadiness => Poll::Ready(Err("dead".into())),
            Self::PanicsInPollReady => panic!("in poll_ready, as the test wants it to"),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        match self {
            Self::PanicsInCall => panic!("in call, as the test wants it to"),
            Self::PanicsInPoll => {
                futures_util::future::Either::Right(futures_util::future::poll_fn(|_| {
                    panic!("in poll, as the test wants it to")
                }))
            }
            Self::Fails => futures_util::future::Either::Left(ready(Err("failed".into()))),
            _ => futures_util::future::Either::Left(ready(Ok(Response::new(Body::new())))),
        }
    }
}

fn poll_ready<S: Service<Request<()>>>(service: &mut S) -> Poll<Result<(), S::Error>> {
    service.poll_ready(&mut Context::from_waker(Waker::noop()))
}

/// Asserts the counting identity, and returns the counts.
fn counts(handle: &CanaryHandle) -> tower_canary::Counts {
    let counts = handle.counts().total();
    for channel in Channel::ALL {
        for counts in [&counts.evidence[channel], &counts.excluded[channel]] {
            assert_eq!(counts.picked, counts.ended() + counts.in_flight());
        }
    }
    assert_eq!(counts.evidence.canary.spilled, counts.excluded.stable.picked);
    counts
}

const HALF: Weight = Weight::from_percent(50);
const CALLS: u64 = 200;

#[tokio::test]
async fn a_canary_that_is_not_ready_spills_its_calls_to_stable() {
    for sick in [Sick::NeverReady, Sick::FailsReadiness, Sick::PanicsInPollReady] {
        let layer = CanaryLayer::new("sick", sick);
        layer.handle().set_weight(HALF).unwrap();
        let service = layer.layer(stable());
        for _ in 0..CALLS {
            let response = service.clone().oneshot(Request::new(())).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK, "{sick:?}");
            assert_eq!(response.headers()["x-canary-channel"], "stable");
        }
        let counts = counts(&layer.handle());
        let canary = &counts.evidence.canary;
        assert!(canary.spilled > 0);
        assert_eq!(canary.spilled, canary.picked);
        assert_eq!(counts.excluded.stable.success, canary.spilled);
        assert_eq!(counts.evidence.stable.success + canary.spilled, CALLS);
    }
}

#[tokio::test]
async fn a_canary_that_panics_fails_its_own_calls_and_no_others() {
    for sick in [Sick::PanicsInCall, Sick::PanicsInPoll] {
        let layer = CanaryLayer::new("sick", sick);
        layer.handle().set_weight(HALF).unwrap();
        let service = layer.layer(stable());
        for _ in 0..CALLS {
            let response = service.clone().oneshot(Request::new(())).await.unwrap();
            match response.headers()["x-canary-channel"].as_bytes() {
                b"stable" => assert_eq!(response.status(), StatusCode::OK),
                _ => assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR),
            }
        }
        let counts = counts(&layer.handle());
        let canary = &counts.evidence.canary;
        assert_eq!([canary.failure, canary.panicked], [canary.picked; 2], "{sick:?}");
        assert_eq!(counts.evidence.stable.success, counts.evidence.stable.picked);
    }
}

#[tokio::test]
async fn a_panic_of_a_grpc_canary_is_answered_in_grpc() {
    let layer = CanaryLayer::new("sick", Sick::PanicsInPoll);
    layer.handle().promote().unwrap();
    let request =
        Request::builder().header(header::CONTENT_TYPE, "application/grpc").body(()).unwrap();
    let response = layer.layer(stable()).oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()["grpc-status"], "13");
    assert_eq!(response.headers()["content-type"], "application/grpc");
}

#[tokio::test]
async fn errors_of_the_services_pass_unchanged_and_count_as_failures() {
    let layer = CanaryLayer::new("sick", Sick::Fails);
    layer.handle().set_weight(Weight::FULL).unwrap();
    let error = layer.layer(stable()).oneshot(Request::new(())).await.unwrap_err();
    assert_eq!(error.to_string(), "failed");
    assert_eq!(counts(&layer.handle()).evidence.canary.failure, 1);
}

#[test]
fn poll_ready_asks_stable_and_never_the_canary() {
    let layer = CanaryLayer::new("sick", Sick::PanicsInPollReady);
    layer.handle().set_weight(Weight::from_ppm(999_999)).unwrap();
    let mut service = layer.layer(Sick::NeverReady);
    assert_pending!(poll_ready(&mut service));
    let mut service = layer.layer(Sick::FailsReadiness);
    let error = assert_ready!(poll_ready(&mut service)).unwrap_err();
    assert_eq!(error.to_string(), "dead");
    let mut service = layer.layer(stable());
    assert_ready_ok!(poll_ready(&mut service));
}

#[tokio::test]
async fn a_promoted_canary_is_waited_for_and_stable_need_not_be_ready() {
    let layer = CanaryLayer::new("promoted", healthy_canary());
    layer.handle().promote().unwrap();
    let mut service = layer.layer(Sick::NeverReady);
    let response = service.ready().await.unwrap().call(Request::new(())).await.unwrap();
    assert_eq!(response.status(), StatusCode::ACCEPTED);

    let layer = CanaryLayer::new("promoted", Sick::NeverReady);
    layer.handle().promote().unwrap();
    let mut call = task::spawn(layer.layer(stable()).oneshot(Request::new(())));
    assert_pending!(call.poll());
    assert_eq!(counts(&layer.handle()).evidence.canary.spilled, 0);

    // Who waits for a canary that is rolled back is served by stable.
    layer.handle().roll_back();
    assert!(call.is_woken());
    assert_eq!(assert_ready_ok!(call.poll()).status(), StatusCode::OK);
    assert_eq!(counts(&layer.handle()).evidence.canary.spilled, 1);
}

#[tokio::test]
async fn call_serves_whatever_the_weight_became_after_poll_ready() {
    let layer = CanaryLayer::new("racing", healthy_canary());
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
        // Nobody asked this one whether it is ready.
        assert_eq!(service.clone().call(Request::new(())).await.unwrap().status(), status);
    }
}

#[test]
fn clone_does_not_inherit_readiness() {
    let layer = CanaryLayer::new("limited", healthy_canary());
    let limited = ConcurrencyLimit::new(stable(), 1);
    let mut service = layer.layer(limited);
    assert_ready_ok!(poll_ready(&mut service));
    let mut clone = service.clone();
    assert_pending!(poll_ready(&mut clone));
}

#[tokio::test]
async fn a_concurrency_limit_leaks_no_permit_on_either_channel() {
    for weight in [Weight::ZERO, HALF, Weight::FULL] {
        let canary = ConcurrencyLimit::new(healthy_canary(), 1);
        let layer = CanaryLayer::new("limited", canary);
        let handle = layer.handle();
        handle.set_weight(weight).unwrap();
        let first = layer.layer(ConcurrencyLimit::new(stable(), 1));
        let (mut first, mut second) = (first.clone(), first);
        for _ in 0..CALLS {
            for service in [&mut first, &mut second] {
                // Had the other one kept a permit, this would wait for ever.
                let ready = assert_ready_ok!(task::spawn(service.ready()).poll());
                assert_ready_ok!(task::spawn(ready.call(Request::new(()))).poll());
            }
        }
        let counts = counts(&handle);
        assert_eq!(counts.evidence.canary.spilled, 0);
        assert_eq!(counts.evidence.stable.success + counts.evidence.canary.success, 2 * CALLS);
    }
}

#[test]
fn a_place_in_a_queue_is_given_up_when_the_weight_changes() {
    let layer = CanaryLayer::new("limited", ConcurrencyLimit::new(healthy_canary(), 1));
    let handle = layer.handle();
    let mut holder = layer.layer(ConcurrencyLimit::new(stable(), 1));
    let (mut waiting, mut third) = (holder.clone(), holder.clone());
    assert_ready_ok!(poll_ready(&mut holder));
    assert_pending!(poll_ready(&mut waiting));

    handle.promote().unwrap();
    assert_ready_ok!(poll_ready(&mut waiting));
    drop(holder);
    handle.roll_back();
    // Stable's permit would go to `waiting`, which has no more use for it.
    assert_ready_ok!(poll_ready(&mut third));
}

#[test]
fn ready_stays_ready_until_the_call() {
    let layer = CanaryLayer::new("steady", Sick::NeverReady);
    let mut service = layer.layer(stable());
    assert_ready_ok!(poll_ready(&mut service));
    layer.handle().promote().unwrap();
    assert_ready_ok!(poll_ready(&mut service));
}

#[test]
fn a_canary_that_hangs_holds_up_only_its_own_calls() {
    let hang =
        service_fn(|_: Request<()>| -> Pending<Result<Response<Body>, BoxError>> { pending() });
    let layer = CanaryLayer::new("hanging", hang);
    let handle = layer.handle();
    handle.set_weight(HALF).unwrap();
    let service = layer.layer(stable());
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
    assert_ready_ok!(task::spawn(service.clone().call(Request::new(()))).poll());
    drop(hanging);
    let canary = counts(&handle).evidence.canary;
    assert_eq!([canary.cancelled, canary.in_flight()], [canary.picked, 0]);
}

#[tokio::test]
async fn the_hook_hears_of_each_failed_or_spilled_call_of_the_canary_once_it_is_counted() {
    for sick in [Sick::Fails, Sick::PanicsInCall, Sick::NeverReady] {
        let layer = CanaryLayer::new("hooked", sick);
        let handle = layer.handle();
        handle.set_weight(HALF).unwrap();
        let heard = Arc::new(AtomicUsize::new(0));
        handle.on_canary_failure({
            let heard = Arc::clone(&heard);
            move |canary, weight| {
                assert_eq!(weight, HALF);
                let canary = counts(canary).evidence.canary;
                let heard = heard.fetch_add(1, Ordering::Relaxed) as u64 + 1;
                assert_eq!(canary.failure + canary.spilled, heard, "counted before it is heard");
                panic!("what the hook does is not the caller's fault");
            }
        });
        let service = layer.layer(stable());
        for _ in 0..CALLS {
            let _ = service.clone().oneshot(Request::new(())).await;
        }
        let canary = counts(&handle).evidence.canary;
        assert_eq!(heard.load(Ordering::Relaxed) as u64, canary.picked, "{sick:?}");
    }
}

#[test]
fn a_hook_does_not_keep_the_canary_alive() {
    let alive = Arc::new(());
    let layer = CanaryLayer::new("hooked", stable());
    layer.handle().on_canary_failure({
        let alive = Arc::clone(&alive);
        move |_, _| drop(Arc::clone(&alive))
    });
    drop(layer);
    assert_eq!(Arc::strong_count(&alive), 1);
}

#[test]
fn all_services_of_a_layer_share_one_weight_and_one_count() {
    let made = Arc::new(AtomicUsize::new(0));
    let layer = CanaryLayer::new("shared", healthy_canary());
    let handle = layer.handle();
    for _ in 0..100 {
        let made = Arc::clone(&made);
        let mut service = layer.clone().layer(stable());
        assert_ready_ok!(task::spawn(service.call(Request::new(()))).poll());
        made.fetch_add(1, Ordering::Relaxed);
    }
    assert_eq!(counts(&handle).evidence.stable.success, 100);
    handle.promote().unwrap();
    assert_ready_ok!(task::spawn(layer.layer(stable()).call(Request::new(()))).poll());
    assert_eq!(counts(&handle).evidence.canary.success, 1);
}

#[tokio::test]
async fn services_with_differing_bodies_are_unified() {
    let v1 = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(http_body_util::Full::new(bytes::Bytes::new()))))
    });
    let v2 = service_fn(|_: Request<()>| ready(Ok::<_, Infallible>(Response::new(Body::new()))));
    let options = CanaryOptions::new().tags(Tags::header_only());
    let layer = CanaryLayer::with_options("differing", UnifyBody::new(v2), options);
    let response = layer.layer(UnifyBody::new(v1)).oneshot(Request::new(())).await.unwrap();
    assert_eq!(response.headers()["x-canary-channel"], "stable");
}
