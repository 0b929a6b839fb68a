//! What a mirror adds to a call of stable, in an axum router: nanoseconds and allocations, on the path of
//! the caller; and beside it the work that the copies are, in tasks of their own.
//!
//! `cargo bench -p tower-canary-mirror --features axum`
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    convert::Infallible,
    hint::black_box,
    pin::pin,
    sync::{Arc, Mutex},
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
use tower::{Layer, Service};
use tower_canary::Weight;
use tower_canary_mirror::{BoxFuture, MirrorHandle, MirrorLayer, MirrorOptions, Runtime};

fn version() -> Router {
    let route = || get(|Path(id): Path<u32>| async move { id.to_string() });
    let routes =
        (0..20).fold(Router::new(), |router, n| router.route(&format!("/r{n}/{{id}}"), route()));
    routes.with_state(())
}

/// Keeps the tasks of the copies, so that they are not measured with the calls.
#[derive(Clone, Default)]
struct Later(Arc<Mutex<Vec<BoxFuture>>>);

impl Later {
    fn run(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        let mut tasks = std::mem::take(&mut *self.0.lock().unwrap());
        while !tasks.is_empty() {
            tasks.retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        }
    }
}

impl Runtime for Later {
    fn spawn(&self, task: BoxFuture) {
        self.0.lock().unwrap().push(task);
    }

    fn sleep(&self, _: Duration) -> BoxFuture {
        Box::pin(std::future::pending())
    }
}

/// Serves one call to the end of its body, through a clone, as servers do.
fn serve<S>(service: &S)
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone,
{
    let mut cx = Context::from_waker(Waker::noop());
    let mut service = service.clone();
    assert!(service.poll_ready(&mut cx).is_ready());
    let request = Request::get("/r3/7").header("host", "localhost").body(Body::empty()).unwrap();
    let Poll::Ready(Ok(response)) = pin!(service.call(black_box(request))).poll(&mut cx) else {
        panic!("the handlers answer at once");
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
    later: Later,
    mirror: Option<MirrorHandle>,
    nanos: Vec<f64>,
    work: Vec<f64>,
}

fn case<S>(name: String, service: S, later: Later, mirror: Option<MirrorHandle>) -> Case
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + 'static,
{
    let serve = Box::new(move || serve(&service));
    Case { name, serve, later, mirror, nanos: Vec::new(), work: Vec::new() }
}

fn main() {
    let mut cases = vec![case("plain router".to_owned(), version(), Later::default(), None)];
    for share in [Weight::ZERO, Weight::from_percent(1), Weight::FULL] {
        let later = Later::default();
        let options = MirrorOptions::new().share(share).queue(BATCH as usize).concurrency(1);
        let layer = MirrorLayer::with_runtime("bench", version(), options, later.clone());
        let mirror = Some(layer.handle());
        let around = layer.layer(version());
        cases.push(case(
            format!("mirror.layer(v1), {share}"),
            around,
            later.clone(),
            mirror.clone(),
        ));
        let inside = version().layer(layer).with_state::<()>(());
        cases.push(case(format!("v1.layer(mirror), {share}"), inside, later, mirror));
    }
    // The cases take turns, so that a slow moment of the machine is nobody's disadvantage.
    for _ in 0..ROUNDS {
        for case in &mut cases {
            let (mut calls, mut work) = (Duration::ZERO, Duration::ZERO);
            for _ in 0..BATCHES {
                let start = Instant::now();
                (0..BATCH).for_each(|_| (case.serve)());
                let served = Instant::now();
                case.later.run();
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
        "", "ns", "added", "allocs", "added", "ns of copies"
    );
    for case in &mut cases {
        let allocations = allocation_counter::measure(|| (case.serve)()).count_total;
        case.later.run();
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
            assert_eq!(counts.copied, counts.matched, "{counts:?}");
        }
    }
}

const ROUNDS: usize = 9;
const BATCHES: u32 = 500;
/// Copies of one batch wait together.
const BATCH: u32 = 100;
