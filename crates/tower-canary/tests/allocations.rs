//! Allocations per call: none, with few exceptions.
//!
//! These tests are a separate binary because they count the allocations of the process.
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{HeaderValue, Request, Response, header};
use http_body::Body as _;
use http_body_util::Full;
use tower::{Layer, Service, service_fn, util::ServiceFn};
use tower_canary::{
    CanaryLayer, CanaryOptions, Fallback, RouteClasses, Tags, Weight,
    control::{ControlExt, KeySample},
    select::{Condition, Sticky},
};

type Body = Full<&'static [u8]>;

/// Responds at once, and allocates only for the header of the response.
fn respond(_: Request<()>) -> Ready<Result<Response<Body>, Infallible>> {
    let mut response = Response::new(Full::new(&b"body"[..]));
    response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from_static("4"));
    ready(Ok(response))
}

type Respond = fn(Request<()>) -> Ready<Result<Response<Body>, Infallible>>;

fn inner() -> ServiceFn<Respond> {
    service_fn(respond)
}

/// Serves one call to the end of its body.
fn serve<S, B>(service: &mut S, request: Request<()>)
where
    S: Service<Request<()>, Response = Response<B>, Error: std::fmt::Debug>,
    B: http_body::Body,
{
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let Poll::Ready(response) = pin!(service.call(request)).poll(&mut cx) else {
        panic!("the inner services respond at once");
    };
    let mut body = pin!(response.unwrap().into_body());
    while !body.is_end_stream() {
        assert!(matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(Some(Ok(_)))));
    }
}

/// Returns the allocations of a call, after a first call has created thread-locals and counters.
fn allocations<S, B>(mut service: S, request: impl Fn() -> Request<()>) -> u64
where
    S: Service<Request<()>, Response = Response<B>, Error: std::fmt::Debug>,
    B: http_body::Body,
{
    serve(&mut service, request());
    let request = request();
    allocation_counter::measure(|| serve(&mut service, request)).count_total
}

#[test]
fn a_call_with_header_tags_allocates_nothing_on_either_channel() {
    let bare = allocations(inner(), || Request::new(()));
    for weight in [Weight::ZERO, Weight::FULL] {
        let options = CanaryOptions::new()
            .canary_release("v2")
            .stable_release("v1")
            .tags(Tags::header_only().release_header());
        let layer = CanaryLayer::with_options("frugal", inner(), options);
        layer.handle().set_weight(weight).unwrap();
        assert_eq!(allocations(layer.layer(inner()), || Request::new(())), bare, "{weight}");
    }
}

#[test]
fn the_assignment_extension_is_one_allocation() {
    #[derive(Clone)]
    struct Other;
    let bare = allocations(inner(), || Request::new(()));
    let layer = CanaryLayer::new("default", inner());
    let request = || {
        let mut request = Request::new(());
        request.extensions_mut().insert(Other);
        request
    };
    assert_eq!(allocations(layer.layer(inner()), request), bare + 1);
}

#[test]
fn a_bypassed_call_allocates_once_at_full_weight_and_never_below() {
    let health = || Request::get("/healthz").body(()).unwrap();
    let bare = allocations(inner(), health);
    for (weight, more) in [(Weight::ZERO, 0), (Weight::from_ppm(999_999), 0), (Weight::FULL, 1)] {
        let layer = CanaryLayer::new("bypassed", inner());
        layer.handle().set_weight(weight).unwrap();
        assert_eq!(allocations(layer.layer(inner()), health), bare + more, "{weight}");
    }
}

#[test]
fn a_concurrency_limit_and_an_unused_fallback_allocate_nothing() {
    let bare = allocations(inner(), || Request::new(()));
    let options = CanaryOptions::new()
        .tags(Tags::header_only())
        .concurrency_limit(1)
        .fallback(Fallback::of_clones::<()>().only(Condition::any().not()));
    let layer = CanaryLayer::with_options("frugal", inner(), options);
    layer.handle().set_weight(Weight::from_ppm(999_999)).unwrap();
    assert_eq!(allocations(layer.layer(inner()), || Request::new(())), bare);
}

#[test]
fn a_call_with_a_route_class_and_a_watched_key_allocates_nothing() {
    let name = http::HeaderName::from_static("x-user-id");
    let of_user = || {
        let mut request = Request::new(());
        request.headers_mut().insert(&name, HeaderValue::from_static("ada"));
        request
    };
    let bare = allocations(inner(), of_user);
    for weight in [Weight::ZERO, Weight::FULL] {
        let options = CanaryOptions::new()
            .tags(Tags::header_only())
            .select(Sticky::by_header(name.clone()))
            .route_classes(RouteClasses::new().class("all", Condition::any()));
        let layer = CanaryLayer::with_options("frugal", inner(), options);
        layer.handle().set_weight(weight).unwrap();
        let keys = layer.handle().watch_keys(KeySample::ALL);
        assert_eq!(allocations(layer.layer(inner()), of_user), bare, "{weight}");
        assert_eq!(keys.take().events.len(), 1);
    }
}
