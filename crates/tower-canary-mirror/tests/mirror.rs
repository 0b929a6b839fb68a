//! A mirror of plain services, on a runtime that runs tasks only when a test asks it to.
#![allow(clippy::unwrap_used, reason = "these are tests")]

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, ready},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use tokio::runtime::{Builder, Runtime};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_canary::{CanaryLayer, Weight, body::UnifyBody};
use tower_canary_mirror::{
    ByField, CapturedResponse, Comparison, Difference, DropReason, ErasedBody, FieldCounts,
    FieldDifference, FieldPath, MirrorCounts, MirrorFuture, MirrorHandle, MirrorLayer,
    MirrorOptions, MirrorService, Mirrored,
};

type Body = UnsyncBoxBody<Bytes, BoxError>;

fn body(text: &'static str) -> Body {
    Body::from_body(Full::from(text))
}

/// A service that responds with a text and counts its calls.
#[derive(Clone)]
struct TextService {
    text: &'static str,
    is_ready: bool,
    readiness_polls: Arc<AtomicU32>,
    calls: Arc<AtomicU32>,
}

impl TextService {
    fn new(text: &'static str) -> Self {
        Self { text, is_ready: true, readiness_polls: Arc::default(), calls: Arc::default() }
    }

    fn never_ready() -> Self {
        Self { is_ready: false, ..Self::new("never") }
    }
}

impl Service<Request<Body>> for TextService {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.readiness_polls.fetch_add(1, Ordering::Relaxed);
        if self.is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        self.calls.fetch_add(1, Ordering::Relaxed);
        ready(Ok(Response::new(body(self.text))))
    }
}

/// Creates a runtime that runs tasks only in [`run`], with a paused clock.
fn runtime() -> Runtime {
    Builder::new_current_thread().enable_time().start_paused(true).build().unwrap()
}

/// Polls all tasks a number of times.
fn run(runtime: &Runtime) {
    runtime.block_on(async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    });
}

fn tasks(runtime: &Runtime) -> usize {
    runtime.metrics().num_alive_tasks()
}

fn options() -> MirrorOptions {
    MirrorOptions::new().share(Weight::FULL).concurrency_limit(2).queue_limit(3)
}

fn mirror<C: 'static>(canary: C, runtime: &Runtime) -> (MirrorLayer<C>, MirrorHandle) {
    let options = options().runtime(runtime.handle().clone());
    let layer = MirrorLayer::with_options("shop", canary, options);
    let handle = layer.handle();
    (layer, handle)
}

/// Makes a call and reads the response in one poll, to show that neither waits.
fn call<S, B>(service: &S) -> Bytes
where
    S: Service<Request<Body>, Response = Response<B>, Error: Debug> + Clone,
    B: http_body::Body<Data = Bytes, Error: Debug>,
{
    let response = async {
        let response = service.clone().oneshot(Request::new(body(""))).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    };
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(bytes) = pin!(response).poll(&mut cx) else {
        panic!("expected a call of stable that does not wait");
    };
    bytes
}

#[test]
fn stable_waits_neither_for_the_canary_nor_for_the_runtime() {
    let runtime = runtime();
    let canary = TextService::never_ready();
    let (layer, handle) = mirror(canary.clone(), &runtime);
    let service = layer.layer(TextService::new("v1"));
    assert_eq!(call(&service), "v1");
    assert_eq!(canary.readiness_polls.load(Ordering::Relaxed), 0);
    assert_eq!((handle.counts().in_flight(), tasks(&runtime)), (1, 1));

    run(&runtime);
    assert!(canary.readiness_polls.load(Ordering::Relaxed) > 0);
    assert_eq!((handle.counts().in_flight(), tasks(&runtime)), (1, 1));

    runtime.block_on(tokio::time::advance(Duration::from_secs(11)));
    run(&runtime);
    assert_eq!((handle.counts().timed_out, tasks(&runtime)), (1, 0));
    assert_eq!(canary.calls.load(Ordering::Relaxed), 0);
}

#[test]
fn a_stalled_runtime_gets_a_bounded_number_of_tasks() {
    let runtime = runtime();
    let (layer, handle) = mirror(TextService::new("v2"), &runtime);
    let service = layer.layer(TextService::new("v1"));
    for _ in 0..100 {
        assert_eq!(call(&service), "v1");
    }
    assert_eq!(tasks(&runtime), 5);
    let counts = handle.counts();
    assert_eq!((counts.in_flight(), counts.dropped[DropReason::QueueFull]), (5, 95));

    run(&runtime);
    assert_eq!((handle.counts().mismatched, tasks(&runtime)), (5, 0));
    assert_eq!(handle.memory_used(), 0);
}

#[test]
fn a_runtime_that_shuts_down_drops_the_requests_at_the_canary_and_in_the_queue() {
    let runtime = runtime();
    let (layer, handle) = mirror(TextService::never_ready(), &runtime);
    let service = layer.layer(TextService::new("v1"));
    (0..5).for_each(|_| assert_eq!(call(&service), "v1"));
    run(&runtime);
    drop(runtime);
    let counts = handle.counts();
    assert_eq!((counts.dropped[DropReason::Runtime], counts.in_flight()), (5, 0));
    assert_eq!(handle.memory_used(), 0);
}

#[test]
fn without_a_usable_runtime_requests_are_dropped_and_stable_responds() {
    let shut_down = runtime();
    let without_timers = Builder::new_current_thread().build().unwrap();
    let handles = [shut_down.handle(), without_timers.handle()].map(Clone::clone);
    drop(shut_down);
    let with_runtime = handles.map(|handle| options().runtime(handle));
    for options in [options()].into_iter().chain(with_runtime) {
        let layer = MirrorLayer::with_options("shop", TextService::new("v2"), options);
        let service = layer.layer(TextService::new("v1"));
        for calls in 1..=10 {
            assert_eq!(call(&service), "v1");
            run(&without_timers);
            assert_eq!(layer.handle().counts().dropped[DropReason::Runtime], calls);
        }
    }
}

#[test]
fn a_call_that_is_not_mirrored_allocates_no_more_than_one_without_a_mirror() {
    let runtime = runtime();
    let (layer, handle) = mirror(TextService::new("v2"), &runtime);
    handle.set_share(Weight::ZERO);
    let (bare, mirrored) = (TextService::new("v1"), layer.layer(TextService::new("v1")));
    let allocations = |call: &dyn Fn() -> Bytes| {
        call();
        allocation_counter::measure(|| drop(call())).count_total
    };
    assert_eq!(allocations(&|| call(&mirrored)), allocations(&|| call(&bare)));
}

#[test]
fn services_with_unified_bodies_and_canary_layers_can_be_mirrored() {
    let runtime = runtime();
    let unified = || UnifyBody::new(TextService::new("v1"));
    let (layer, handle) = mirror(unified(), &runtime);
    assert_eq!(call(&layer.layer(unified())), "v1");
    let canary = CanaryLayer::new("shop", TextService::new("v1"));
    assert_eq!(call(&layer.layer(canary.layer(TextService::new("v1")))), "v1");
    run(&runtime);
    assert_eq!(handle.counts().matched, 2);
}

#[test]
fn the_canary_can_have_other_error_and_body_types_than_stable() {
    let runtime = runtime();
    let canary = service_fn(|_: Request<Body>| ready(Err::<Response<Full<Bytes>>, _>(())));
    let (layer, handle) = mirror(canary, &runtime);
    assert_eq!(call(&layer.layer(TextService::new("v1"))), "v1");
    run(&runtime);
    assert_eq!((handle.counts().failed, handle.counts().panicked), (1, 0));
}

#[test]
fn a_response_that_does_not_have_its_content_length_is_incomplete() {
    for (length, failed) in [("2", 0), ("3", 1), ("1", 1)] {
        let runtime = runtime();
        let canary = service_fn(move |_: Request<Body>| {
            let response = Response::builder().header("content-length", length);
            ready(Ok::<_, Infallible>(response.body(body("v1")).unwrap()))
        });
        let (layer, handle) = mirror(canary, &runtime);
        assert_eq!(call(&layer.layer(TextService::new("v1"))), "v1");
        run(&runtime);
        assert_eq!(handle.counts().failed, failed, "{length}");
    }
}

#[test]
fn the_counts_add_up_at_every_moment_during_concurrent_calls() {
    const CALLS: u64 = 2000;
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap();
    let (layer, handle) = mirror(TextService::new("v2"), &runtime);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let MirrorCounts { mirrored, mismatched, ref dropped, .. } = handle.counts();
                assert!(mismatched + dropped.total() <= mirrored);
            }
        });
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let service = layer.layer(TextService::new("v1"));
                scope.spawn(move || (0..CALLS).for_each(|_| drop(call(&service))))
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        while handle.counts().in_flight() > 0 || handle.memory_used() > 0 {
            thread::yield_now();
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(handle.counts().mirrored, 4 * CALLS);
}

#[test]
#[should_panic(expected = "concurrency limit of a mirror is 0: expected at least 1")]
fn a_concurrency_limit_of_zero_is_refused() {
    let _ = MirrorOptions::new().concurrency_limit(0);
}

#[test]
#[should_panic(expected = r#"field path "at": expected a JSON pointer"#)]
fn an_invalid_field_path_is_refused() {
    let _ = ByField::new().ignore("at");
}

#[test]
fn public_types_implement_the_common_traits() {
    const fn is_shared<T: Send + Sync + Debug + 'static>() {}
    const fn is_cloned<T: Clone>() {}
    is_shared::<MirrorHandle>();
    is_cloned::<MirrorHandle>();
    is_shared::<MirrorLayer<()>>();
    is_cloned::<MirrorLayer<()>>();
    is_shared::<MirrorService<(), ()>>();
    is_cloned::<MirrorService<(), ()>>();
    is_shared::<MirrorOptions>();
    is_shared::<MirrorCounts>();
    is_shared::<Difference>();
    is_shared::<FieldCounts>();
    is_shared::<FieldDifference>();
    is_shared::<FieldPath>();
    is_shared::<ByField>();
    is_shared::<Comparison>();
    is_shared::<CapturedResponse>();
    is_shared::<Mirrored>();
    const fn is_sent<T: Send + Debug>() {}
    is_sent::<MirrorFuture<()>>();
}

#[test]
fn other_tasks_run_between_mirrored_requests() {
    let runtime = runtime();
    let events = Arc::new(Mutex::new(Vec::new()));
    let record = Arc::clone(&events);
    let canary = service_fn(move |_: Request<Body>| {
        record.lock().unwrap().push("mirrored");
        ready(Ok::<_, Infallible>(Response::new(body("v1"))))
    });
    let (layer, handle) = mirror(canary, &runtime);
    let service = layer.layer(TextService::new("v1"));
    for _ in 0..3 {
        call(&service);
        let record = Arc::clone(&events);
        runtime.spawn(async move { record.lock().unwrap().push("other") });
    }
    run(&runtime);
    assert_eq!(handle.counts().matched, 3);
    assert_eq!(events.lock().unwrap().concat(), "mirroredother".repeat(3));
}

#[test]
fn the_path_of_a_difference_has_no_query() {
    let runtime = runtime();
    let (layer, handle) = mirror(TextService::new("v2"), &runtime);
    let mut request = Request::new(body(""));
    *request.uri_mut() = "/search?token=secret".parse().unwrap();
    let call = layer.layer(TextService::new("v1")).oneshot(request);
    let response = tokio_test::block_on(call).unwrap();
    tokio_test::block_on(response.into_body().collect()).unwrap();
    run(&runtime);
    assert_eq!(handle.differences()[0].path, "/search");
}

/// HTTP/1 drops a body after `content-length` bytes, before the body has reported its end.
#[test]
fn a_response_is_complete_once_all_bytes_of_its_length_were_read() {
    let stream = || {
        let frames = [Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"four")))];
        // A stream does not report its end together with the last frame.
        Body::from_body(StreamBody::new(futures_util::stream::iter(frames)))
    };
    for (length, matched) in [(Some("4"), 1), (Some("5"), 0), (None, 0)] {
        let stable = service_fn(move |_: Request<Body>| {
            let mut response = Response::new(stream());
            if let Some(length) = length {
                response.headers_mut().insert("content-length", length.parse().unwrap());
            }
            ready(Ok::<_, Infallible>(response))
        });
        let runtime = runtime();
        let (layer, handle) = mirror(TextService::new("four"), &runtime);
        let response = layer.layer(stable).oneshot(Request::new(body("")));
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(response)) = pin!(response).poll(&mut cx) else { panic!() };
        let mut response = response.into_body();
        let frame = pin!(response.frame()).poll(&mut cx);
        assert!(matches!(frame, Poll::Ready(Some(Ok(_)))));
        drop(response);
        run(&runtime);
        let counts = handle.counts();
        assert_eq!(counts.matched, matched, "{length:?}: {counts:?}");
        assert_eq!(counts.dropped[DropReason::CallerLeft], 1 - matched, "{length:?}: {counts:?}");
    }
}
