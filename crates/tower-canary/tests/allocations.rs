//! What a call allocates: nothing.
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
use tower::{Layer, Service};
use tower_canary::{
    CanaryLayer, CanaryOptions, Fallback, RouteClasses, Tags, Weight,
    control::{ControlExt, KeySample},
    select::{Condition, Sticky},
};

type Body = Full<&'static [u8]>;

/// Answers at once, with a header of its own, and allocates for that header only.
#[derive(Clone)]
struct Inner;

impl Service<Request<()>> for Inner {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let mut response = Response::new(Full::new(&b"body"[..]));
        let length = HeaderValue::from_static("4");
        response.headers_mut().insert(header::CONTENT_LENGTH, length);
        ready(Ok(response))
    }
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
        panic!("the inner services are ready at once");
    };
    let mut body = pin!(response.unwrap().into_body());
    while !body.is_end_stream() {
        assert!(matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(Some(Ok(_)))));
    }
}

/// Allocations per call, once each thread-local and counter is there.
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
fn a_call_tagged_by_the_header_allocates_nothing_on_either_channel() {
    let bare = allocations(Inner, || Request::new(()));
    for weight in [Weight::ZERO, Weight::FULL] {
        let options = CanaryOptions::new()
            .canary_release("v2")
            .stable_release("v1")
            .tags(Tags::header_only().release_header());
        let layer = CanaryLayer::with_options("frugal", Inner, options);
        layer.handle().set_weight(weight).unwrap();
        assert_eq!(allocations(layer.layer(Inner), || Request::new(())), bare, "{weight}");
    }
}

#[test]
fn the_assignment_in_the_request_is_one_allocation() {
    #[derive(Clone)]
    struct Other;
    let bare = allocations(Inner, || Request::new(()));
    let layer = CanaryLayer::new("default", Inner);
    let request = || {
        let mut request = Request::new(());
        request.extensions_mut().insert(Other);
        request
    };
    assert_eq!(allocations(layer.layer(Inner), request), bare + 1);
}

#[test]
fn a_call_that_waits_for_stable_is_one_allocation_and_no_bypassed_one_does_below_full_weight() {
    let health = || Request::get("/healthz").body(()).unwrap();
    let bare = allocations(Inner, health);
    for (weight, more) in [(Weight::ZERO, 0), (Weight::from_ppm(999_999), 0), (Weight::FULL, 1)] {
        let layer = CanaryLayer::new("bypassed", Inner);
        layer.handle().set_weight(weight).unwrap();
        assert_eq!(allocations(layer.layer(Inner), health), bare + more, "{weight}");
    }
}

#[test]
fn a_concurrency_limit_and_a_fallback_that_is_not_for_the_call_allocate_nothing() {
    let bare = allocations(Inner, || Request::new(()));
    let options = CanaryOptions::new()
        .tags(Tags::header_only())
        .concurrency_limit(1)
        .fallback(Fallback::of_clones::<()>().only(Condition::any().not()));
    let layer = CanaryLayer::with_options("frugal", Inner, options);
    layer.handle().set_weight(Weight::from_ppm(999_999)).unwrap();
    assert_eq!(allocations(layer.layer(Inner), || Request::new(())), bare);
}

#[test]
fn a_call_of_a_class_whose_key_is_noted_allocates_nothing() {
    let name = http::HeaderName::from_static("x-user-id");
    let of_user = || {
        let mut request = Request::new(());
        request.headers_mut().insert(&name, HeaderValue::from_static("ada"));
        request
    };
    let bare = allocations(Inner, of_user);
    for weight in [Weight::ZERO, Weight::FULL] {
        let options = CanaryOptions::new()
            .tags(Tags::header_only())
            .select(Sticky::by_header(name.clone()))
            .route_classes(RouteClasses::new().class("all", Condition::any()));
        let layer = CanaryLayer::with_options("frugal", Inner, options);
        layer.handle().set_weight(weight).unwrap();
        let keys = layer.handle().watch_keys(KeySample::ALL);
        assert_eq!(allocations(layer.layer(Inner), of_user), bare, "{weight}");
        assert_eq!(keys.take().events.len(), 1);
    }
}
