//! The nanoseconds and allocations that a canary adds to a call of an axum router, by mount point.
//!
//! `cargo bench -p tower-canary --features axum --bench mounts`
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::Instant,
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    response::Response,
    routing::get,
};
use http_body::Body as _;
use tower::{Layer, Service};
use tower_canary::{
    CanaryLayer, CanaryOptions, Tags, Weight,
    axum::{AxumBody, RouterExt},
};

fn version() -> Router {
    let route = || get(|Path(id): Path<u32>| async move { id.to_string() });
    (0..20).fold(Router::new(), |router, n| router.route(&format!("/r{n}/{{id}}"), route()))
}

fn layer<C: 'static>(canary: C, weight: Weight) -> CanaryLayer<C> {
    let options = CanaryOptions::new().tags(Tags::header_only());
    let layer = CanaryLayer::with_options("mounts", canary, options);
    layer.handle().set_weight(weight).unwrap();
    layer
}

/// Serves one call through a clone, as servers do, and reads the body to its end.
fn serve<S>(service: &S)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut service = service.clone();
    assert!(service.poll_ready(&mut cx).is_ready());
    let request = Request::get("/r3/7").body(Body::empty()).unwrap();
    let Poll::Ready(Ok(response)) = pin!(service.call(black_box(request))).poll(&mut cx) else {
        panic!("the handlers respond at once");
    };
    assert!(response.status().is_success());
    let mut body = pin!(response.into_body());
    while !body.is_end_stream() {
        assert!(matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(Some(Ok(_)))));
    }
}

struct Case {
    name: String,
    serve: Box<dyn Fn()>,
    nanos: Vec<f64>,
}

fn case<S>(name: &str, service: S) -> Case
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + 'static,
{
    Case { name: name.to_owned(), serve: Box::new(move || serve(&service)), nanos: Vec::new() }
}

fn main() {
    let ready = |router: Router| router.with_state::<()>(());
    let mut cases = vec![case("plain router", ready(version()))];
    for (channel, weight) in [("stable", Weight::ZERO), ("canary", Weight::FULL)] {
        let name = |mount: &str| format!("{mount}, {channel}");
        let layered = ready(version().layer(layer(version(), weight)));
        cases.push(case(&name("v1.layer(layer)"), layered));
        let beside = ready(version().canary(layer(version(), weight)));
        cases.push(case(&name("v1.canary(layer)"), beside));
        let around = AxumBody::new(layer(version(), weight).layer(ready(version())));
        cases.push(case(&name("layer.layer(v1)"), around));
    }
    // The cases alternate, so that a slow period of the machine affects all of them.
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let start = Instant::now();
            (0..CALLS).for_each(|_| (case.serve)());
            case.nanos.push(start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
        }
    }
    let mut bare = None;
    println!("{:<28} {:>8} {:>8} {:>8} {:>8}", "", "ns", "added", "allocs", "added");
    for case in &mut cases {
        let allocations = allocation_counter::measure(|| (case.serve)()).count_total;
        case.nanos.sort_by(f64::total_cmp);
        let nanos = case.nanos[ROUNDS / 2];
        let (bare_nanos, bare_allocations) = *bare.get_or_insert((nanos, allocations));
        println!(
            "{:<28} {nanos:>8.0} {:>8.0} {allocations:>8} {:>8}",
            case.name,
            nanos - bare_nanos,
            allocations - bare_allocations,
        );
    }
}

const ROUNDS: usize = 9;
const CALLS: u32 = 50_000;
