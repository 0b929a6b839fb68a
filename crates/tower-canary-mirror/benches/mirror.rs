//! Measures what a mirror adds to a call of stable in an axum router: time and allocations in the
//! call, and the time of the tasks that send the mirrored requests.
//!
//! `cargo bench -p tower-canary-mirror --features axum`
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    response::Response,
    routing::get,
};
use http_body::Body as _;
use tokio::runtime::{Builder, Runtime};
use tower::{Layer, Service};
use tower_canary::Weight;
use tower_canary_mirror::{MirrorHandle, MirrorLayer, MirrorOptions};

fn version() -> Router {
    let route = || get(|Path(id): Path<u32>| async move { id.to_string() });
    let routes =
        (0..20).fold(Router::new(), |router, n| router.route(&format!("/r{n}/{{id}}"), route()));
    routes.with_state(())
}

/// Serves one call, including its response body, with a clone of the service, as servers do.
fn serve<S>(service: &S)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut service = service.clone();
    assert!(service.poll_ready(&mut cx).is_ready());
    let request = Request::get("/r3/7").header("host", "localhost").body(Body::empty()).unwrap();
    let Poll::Ready(Ok(response)) = pin!(service.call(black_box(request))).poll(&mut cx) else {
        panic!("expected a handler that responds immediately");
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
    mirror: Option<MirrorHandle>,
    nanos: Vec<f64>,
    work: Vec<f64>,
}

impl Case {
    /// Runs all tasks of the mirror to their end.
    fn run_tasks(&self, runtime: &Runtime) {
        let in_flight = || self.mirror.as_ref().map_or(0, |mirror| mirror.counts().in_flight());
        runtime.block_on(async {
            while in_flight() > 0 {
                tokio::task::yield_now().await;
            }
        });
    }
}

fn case<S>(name: String, service: S, mirror: Option<MirrorHandle>) -> Case
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + 'static,
{
    let serve = Box::new(move || serve(&service));
    Case { name, serve, mirror, nanos: Vec::new(), work: Vec::new() }
}

fn main() {
    // Runs the tasks only while it blocks, so that they are not measured with the calls.
    let runtime = Builder::new_current_thread().enable_time().build().unwrap();
    let mut cases = vec![case("plain router".to_owned(), version(), None)];
    for share in [Weight::ZERO, Weight::from_percent(1), Weight::FULL] {
        let options = MirrorOptions::new()
            .share(share)
            .queue_limit(BATCH as usize)
            .concurrency_limit(1)
            .runtime(runtime.handle().clone());
        let layer = MirrorLayer::with_options("bench", version(), options);
        let mirror = Some(layer.handle());
        let around = layer.layer(version());
        cases.push(case(format!("mirror.layer(v1), {share}"), around, mirror.clone()));
        let inside = version().layer(layer).with_state::<()>(());
        cases.push(case(format!("v1.layer(mirror), {share}"), inside, mirror));
    }
    // The cases alternate, so that a slow period of the machine affects all of them.
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let (mut calls, mut work) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..BATCHES {
                let start = Instant::now();
                (0..BATCH).for_each(|_| (case.serve)());
                let served = Instant::now();
                case.run_tasks(&runtime);
                calls += served - start;
                work += served.elapsed();
            }
            let per_call = |time: Duration| time.as_secs_f64() * 1e9 / f64::from(BATCH * BATCHES);
            case.nanos.push(per_call(calls));
            case.work.push(per_call(work));
        }
    }
    let mut bare = None;
    println!(
        "{:<26} {:>7} {:>7} {:>7} {:>7} {:>12}",
        "", "ns", "added", "allocs", "added", "ns of tasks"
    );
    for case in &mut cases {
        let allocations = allocation_counter::measure(|| (case.serve)()).count_total;
        case.run_tasks(&runtime);
        let median = |nanos: &mut Vec<f64>| {
            nanos.sort_by(f64::total_cmp);
            nanos[ROUNDS / 2]
        };
        let (nanos, work) = (median(&mut case.nanos), median(&mut case.work));
        let (bare_nanos, bare_allocations) = *bare.get_or_insert((nanos, allocations));
        println!(
            "{:<26} {nanos:>7.0} {:>7.0} {allocations:>7} {:>7} {work:>12.0}",
            case.name,
            nanos - bare_nanos,
            allocations - bare_allocations,
        );
        if let Some(mirror) = &case.mirror {
            let counts = mirror.counts();
            assert_eq!(counts.mirrored, counts.matched, "{counts:?}");
        }
    }
}

const ROUNDS: usize = 9;
const BATCHES: u32 = 500;
/// The mirrored requests of one batch are queued together.
const BATCH: u32 = 100;
