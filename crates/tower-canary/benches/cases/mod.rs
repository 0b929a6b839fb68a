//! The cases of the benchmarks: a service that is ready and responds at once, alone and behind
//! different splits.
#![allow(dead_code, reason = "each benchmark uses a part of this module")]

use std::{
    convert::Infallible,
    future::{Ready, ready},
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response, header};
use http_body::Body;
use http_body_util::Full;
use tower::{Layer, Service};
use tower_canary::{CanaryLayer, CanaryOptions, Channel, Tags, Weight, select::Sticky};
use tower_resilience_router::WeightedRouter;

/// The bare service. It responds with a header, as all servers do, and a body. An empty body ends
/// with the head, and one of a few bytes is read to its end.
#[derive(Clone)]
pub(crate) struct Inner {
    body: &'static [u8],
}

impl Inner {
    pub(crate) const EMPTY: Self = Self { body: b"" };
    pub(crate) const WITH_BODY: Self = Self { body: b"a few bytes" };
}

impl Service<Request<()>> for Inner {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    // A real service would be too large to be inlined.
    #[inline(never)]
    fn call(&mut self, _: Request<()>) -> Self::Future {
        let mut response = Response::new(Full::new(Bytes::from_static(self.body)));
        let text = HeaderValue::from_static("text/plain");
        response.headers_mut().insert(header::CONTENT_TYPE, text);
        ready(Ok(response))
    }
}

/// One way to serve calls.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    /// Returns a function that serves a number of calls in sequence on the calling thread.
    pub(crate) prepare: fn() -> Serve,
}

pub(crate) type Serve = Box<dyn FnMut(u32)>;

/// All cases. The first one is the bare service.
pub(crate) const CASES: &[Case] = &[
    case("bare", || serve(Inner::EMPTY, plain())),
    case("tower::steer, at random", || serve(steer(), plain())),
    case("tower-resilience-router", || serve(router(), plain())),
    case("canary at 0 %", || serve(header_tag(Weight::ZERO, Inner::EMPTY), plain())),
    case("stable's call", || serve(header_tag(ONE_IN_A_MILLION, Inner::EMPTY), plain())),
    case("canary's call", || serve(header_tag(ALL_BUT_ONE, Inner::EMPTY), plain())),
    case("bare, user in a header", || serve(Inner::EMPTY, with_user())),
    case("sticky by header", || serve(sticky(), with_user())),
    case("no tags", || serve(tagged(Tags::none()), plain())),
    case("default tags", || serve(tagged(Tags::default()), plain())),
    case("bypassed", || serve(header_tag(ONE_IN_A_MILLION, Inner::EMPTY), probe())),
    case("bare, body", || serve(Inner::WITH_BODY, plain())),
    case("stable's call, body", || serve(header_tag(ONE_IN_A_MILLION, Inner::WITH_BODY), plain())),
    case("canary's call, body", || serve(header_tag(ALL_BUT_ONE, Inner::WITH_BODY), plain())),
];

const fn case(name: &'static str, prepare: fn() -> Serve) -> Case {
    Case { name, prepare }
}

/// Returns the bare case with which a case is compared.
pub(crate) fn bare_of(case: &Case) -> &'static str {
    match case.name {
        "sticky by header" | "bare, user in a header" => "bare, user in a header",
        name if name.ends_with(", body") => "bare, body",
        _ => "bare",
    }
}

/// Serves calls to the end of their bodies.
pub(crate) fn serve<S, B>(mut service: S, request: Request<()>) -> Serve
where
    S: Service<Request<()>, Response = Response<B>, Error: std::fmt::Debug> + 'static,
    B: Body,
{
    Box::new(move |calls| {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..calls {
            assert!(service.poll_ready(&mut cx).is_ready());
            let future = pin!(service.call(black_box(request.clone())));
            let Poll::Ready(Ok(response)) = future.poll(&mut cx) else {
                panic!("the service responds at once");
            };
            let mut body = pin!(response.into_body());
            while !body.is_end_stream() {
                assert!(matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(Some(Ok(_)))));
            }
        }
    })
}

/// A canary with header tags only, which allocate nothing.
pub(crate) fn header_tag(weight: Weight, inner: Inner) -> impl CloneService {
    let options = CanaryOptions::new().tags(Tags::header_only());
    service(weight, options, inner)
}

fn tagged(tags: Tags) -> impl CloneService {
    service(ONE_IN_A_MILLION, CanaryOptions::new().tags(tags), Inner::EMPTY)
}

fn sticky() -> impl CloneService {
    let options = CanaryOptions::new().tags(Tags::header_only()).select(Sticky::by_header(USER));
    service(Weight::from_percent(5), options, Inner::EMPTY)
}

fn service(weight: Weight, options: CanaryOptions, inner: Inner) -> impl CloneService {
    let layer = CanaryLayer::with_options("bench", inner.clone(), options);
    layer.handle().set_weight(weight).expect("nothing was promoted or halted");
    layer.layer(inner)
}

fn steer() -> impl Service<Request<()>, Response = Response<Full<Bytes>>, Error = Infallible> {
    let pick = |_: &Request<()>, _: &[Inner]| usize::from(rand::random_ratio(1, 20));
    tower::steer::Steer::new([Inner::EMPTY, Inner::EMPTY], pick)
}

fn router() -> impl Service<Request<()>, Response = Response<Full<Bytes>>, Error: std::fmt::Debug> {
    let router = WeightedRouter::builder().route(Inner::EMPTY, 95).route(Inner::EMPTY, 5);
    router.random().build()
}

pub(crate) fn plain() -> Request<()> {
    get("/items/7")
}

fn with_user() -> Request<()> {
    let mut request = plain();
    request.headers_mut().insert(USER, HeaderValue::from_static("user-4711"));
    request
}

fn probe() -> Request<()> {
    get("/readyz")
}

/// Creates a request with the headers that every client sends. A lookup in an empty map would take
/// no time.
fn get(path: &str) -> Request<()> {
    let request = Request::get(path)
        .header(header::HOST, "shop.example:8080")
        .header(header::USER_AGENT, "bench/1.0")
        .header(header::ACCEPT, "*/*");
    request.body(()).expect("a valid request")
}

/// A service that is cloned for each thread.
pub(crate) trait CloneService:
    Service<Request<()>, Response = Response<Self::Body>, Error = Infallible> + Clone + Send
{
    type Body: Body;
}

impl<S, B> CloneService for S
where
    S: Service<Request<()>, Response = Response<B>, Error = Infallible> + Clone + Send,
    B: Body,
{
    type Body = B;
}

/// Draws each call at random. Nearly all go to stable.
pub(crate) const ONE_IN_A_MILLION: Weight = Weight::from_ppm(1);
/// Draws each call at random. Nearly all go to the canary.
const ALL_BUT_ONE: Weight = Weight::from_ppm(999_999);
const USER: HeaderName = HeaderName::from_static("x-user-id");

/// Asserts that the measured services tag their responses.
pub(crate) fn check() {
    for (weight, channel) in [(Weight::ZERO, Channel::Stable), (Weight::FULL, Channel::Canary)] {
        let mut service = header_tag(weight, Inner::EMPTY);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut cx).is_ready());
        let Poll::Ready(Ok(response)) = pin!(service.call(plain())).poll(&mut cx) else {
            panic!("the service responds at once");
        };
        assert_eq!(response.headers()[Tags::CHANNEL_HEADER], channel.as_str());
    }
}
