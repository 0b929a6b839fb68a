//! The memory of a canary, which does not grow in ten million calls with different users and paths.
//!
//! `cargo bench -p tower-canary --features metrics --bench memory`
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    pin::pin,
    task::{Context, Poll, Waker},
};

use http::{HeaderName, HeaderValue, Request};
use http_body::Body as _;
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::Layer;
use tower_canary::{CanaryHandle, CanaryLayer, CanaryOptions, Tags, Weight, select::Sticky};

mod cases;

use cases::{CloneService, Inner};

fn main() {
    let _recorder = PrometheusBuilder::new().install_recorder().unwrap();
    let mut canary = None;
    let mut held = allocation_counter::measure(|| canary = Some(canary_for_users())).bytes_current;
    let (mut service, _handle) = canary.unwrap();
    println!("{held:>8} bytes before the first call");
    let mut served = 0;
    let mut after_first = None;
    // The first calls of a channel allocate its counters, and a thousand users reach both channels.
    for calls in [1_000, 100_000, 10_000_000] {
        held += allocation_counter::measure(|| {
            (served..calls).for_each(|user| serve(&mut service, user))
        })
        .bytes_current;
        served = calls;
        println!("{held:>8} bytes after {calls} calls by as many users, on one thread");
        assert_eq!(held, *after_first.get_or_insert(held), "the memory grows with the calls");
    }
    assert!(held < LIMIT, "{held} bytes exceed {LIMIT}");
}

fn canary_for_users() -> (impl CloneService, CanaryHandle) {
    let sticky = Sticky::by_header(USER);
    let options = CanaryOptions::new().tags(Tags::header_only()).select(sticky);
    let layer = CanaryLayer::with_options("bench", Inner::WITH_BODY, options);
    layer.handle().set_weight(Weight::from_percent(5)).unwrap();
    (layer.layer(Inner::WITH_BODY), layer.handle())
}

/// Serves a call with a new user and a new path.
fn serve(service: &mut impl CloneService, user: u64) {
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let name = HeaderValue::from_str(&user.to_string()).unwrap();
    let request = Request::get(format!("/items/{user}")).header(USER, name).body(()).unwrap();
    let Poll::Ready(Ok(response)) = pin!(service.call(request)).poll(&mut cx) else {
        panic!("the service responds at once");
    };
    let mut body = pin!(response.into_body());
    while !body.is_end_stream() {
        assert!(matches!(body.as_mut().poll_frame(&mut cx), Poll::Ready(Some(Ok(_)))));
    }
}

const USER: HeaderName = HeaderName::from_static("x-user-id");
const LIMIT: i64 = 100_000;
