//! A mirror of plain services, on a runtime that the test holds in its hand.
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    fmt::Debug,
    future::{Ready, ready},
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
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_canary::{CanaryLayer, Weight, body::UnifyBody};
use tower_canary_mirror::{
    Answer, AnyBody, BoxFuture, ByField, Comparison, Difference, DropReason, FieldCounts,
    FieldDifference, FieldPath, MirrorCounts, MirrorHandle, MirrorLayer, MirrorOptions,
    MirrorService, Mirrored, Runtime,
};

type Body = UnsyncBoxBody<Bytes, BoxError>;

fn body(text: &'static str) -> Body {
    Body::of(Full::from(text))
}

/// A service that answers with its text, and counts how often it is asked whether it is ready.
#[derive(Clone)]
struct Says {
    text: &'static str,
    is_ready: bool,
    polled: Arc<AtomicU32>,
    called: Arc<AtomicU32>,
}

impl Says {
    fn new(text: &'static str) -> Self {
        Self { text, is_ready: true, polled: Arc::default(), called: Arc::default() }
    }
}

impl Service<Request<Body>> for Says {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.polled.fetch_add(1, Ordering::Relaxed);
        if self.is_ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        self.called.fetch_add(1, Ordering::Relaxed);
        ready(Ok(Response::new(body(self.text))))
    }
}

/// Keeps tasks until the test runs them. Its clock stands still until the test lets it go on.
#[derive(Clone, Default)]
struct ByHand {
    tasks: Arc<Mutex<Vec<BoxFuture>>>,
    time_is_over: Arc<AtomicBool>,
}

impl ByHand {
    /// Polls all tasks some times.
    fn run(&self) {
        let mut cx = Context::from_waker(Waker::noop());
        for _ in 0..100 {
            self.tasks.lock().unwrap().retain_mut(|task| task.as_mut().poll(&mut cx).is_pending());
        }
    }

    fn tasks(&self) -> usize {
        self.tasks.lock().unwrap().len()
    }
}

impl Runtime for ByHand {
    fn spawn(&self, task: BoxFuture) {
        self.tasks.lock().unwrap().push(task);
    }

    fn sleep(&self, _: Duration) -> BoxFuture {
        let is_over = Arc::clone(&self.time_is_over);
        Box::pin(std::future::poll_fn(move |_| {
            if is_over.load(Ordering::Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        }))
    }
}

fn mirror<C: 'static>(canary: C, runtime: impl Runtime) -> (MirrorLayer<C>, MirrorHandle) {
    let options = MirrorOptions::new().share(Weight::FULL).concurrency(2).queue(3);
    let layer = MirrorLayer::with_runtime("shop", canary, options, runtime);
    let handle = layer.handle();
    (layer, handle)
}

/// Makes a call, and reads its answer, in one poll: nothing of it may wait.
fn call<S, B>(service: &S) -> Bytes
where
    S: Service<Request<Body>, Response = Response<B>, Error: Debug> + Clone,
    B: http_body::Body<Data = Bytes, Error: Debug>,
{
    let answer = async {
        let response = service.clone().oneshot(Request::new(body(""))).await.unwrap();
        response.into_body().collect().await.unwrap().to_bytes()
    };
    let mut cx = Context::from_waker(Waker::noop());
    let Poll::Ready(bytes) = std::pin::pin!(answer).poll(&mut cx) else {
        panic!("stable's call waits");
    };
    bytes
}

#[test]
fn stable_waits_neither_for_the_canarys_readiness_nor_for_the_runtime() {
    let runtime = ByHand::default();
    let canary = Says { is_ready: false, ..Says::new("v2") };
    let (layer, handle) = mirror(canary.clone(), runtime.clone());
    let service = layer.layer(Says::new("v1"));
    assert_eq!(call(&service), "v1");
    assert_eq!(canary.polled.load(Ordering::Relaxed), 0);
    assert_eq!((handle.counts().in_flight(), runtime.tasks()), (1, 1));

    runtime.run();
    assert!(canary.polled.load(Ordering::Relaxed) > 0);
    assert_eq!((handle.counts().in_flight(), runtime.tasks()), (1, 1));

    runtime.time_is_over.store(true, Ordering::Relaxed);
    runtime.run();
    assert_eq!((handle.counts().timed_out, runtime.tasks()), (1, 0));
    assert_eq!(canary.called.load(Ordering::Relaxed), 0);
}

#[test]
fn a_runtime_that_never_runs_anything_gets_so_many_tasks_and_no_more() {
    let runtime = ByHand::default();
    let (layer, handle) = mirror(Says::new("v2"), runtime.clone());
    let service = layer.layer(Says::new("v1"));
    for _ in 0..100 {
        assert_eq!(call(&service), "v1");
    }
    assert_eq!(runtime.tasks(), 2);
    let counts = handle.counts();
    assert_eq!((counts.in_flight(), counts.dropped[DropReason::QueueFull]), (5, 95));

    runtime.run();
    assert_eq!((handle.counts().mismatched, runtime.tasks()), (5, 0));
    assert_eq!(handle.memory_used(), 0);
}

#[test]
fn tasks_that_are_dropped_at_work_are_counted_with_all_that_waited() {
    let runtime = ByHand::default();
    let (layer, handle) = mirror(Says { is_ready: false, ..Says::new("v2") }, runtime.clone());
    let service = layer.layer(Says::new("v1"));
    (0..5).for_each(|_| assert_eq!(call(&service), "v1"));
    runtime.run();
    runtime.tasks.lock().unwrap().clear();
    let counts = handle.counts();
    assert_eq!((counts.dropped[DropReason::Runtime], counts.in_flight()), (5, 0));
    assert_eq!(handle.memory_used(), 0);
}

#[test]
fn a_runtime_that_refuses_or_panics_harms_nobody() {
    fn sleep(_: Duration) -> BoxFuture {
        Box::pin(ready(()))
    }
    let panics = |_: BoxFuture| std::panic::resume_unwind(Box::new("as the test wants it to"));
    let (refusing, refused) = mirror(Says::new("v2"), (drop::<BoxFuture>, sleep));
    let (panicking, panicked) = mirror(Says::new("v2"), (panics, sleep));
    for (layer, handle) in [(refusing, refused), (panicking, panicked)] {
        let service = layer.layer(Says::new("v1"));
        for calls in 1..=10 {
            assert_eq!(call(&service), "v1");
            assert_eq!(handle.counts().dropped[DropReason::Runtime], calls);
        }
    }
}

#[test]
fn a_call_that_is_not_copied_allocates_nothing_more() {
    let (layer, handle) = mirror(Says::new("v2"), ByHand::default());
    handle.set_share(Weight::ZERO);
    let (bare, mirrored) = (Says::new("v1"), layer.layer(Says::new("v1")));
    let allocations = |ask: &dyn Fn() -> Bytes| {
        ask();
        allocation_counter::measure(|| drop(ask())).count_total
    };
    assert_eq!(allocations(&|| call(&mirrored)), allocations(&|| call(&bare)));
}

#[test]
fn bodies_that_are_unified_and_those_of_a_canary_can_be_mirrored() {
    let runtime = ByHand::default();
    let unified = || UnifyBody::new(Says::new("v1"));
    let (layer, handle) = mirror(unified(), runtime.clone());
    assert_eq!(call(&layer.layer(unified())), "v1");
    let canary = CanaryLayer::new("shop", Says::new("v1"));
    assert_eq!(call(&layer.layer(canary.layer(Says::new("v1")))), "v1");
    runtime.run();
    assert_eq!(handle.counts().matched, 2);
}

/// A canary whose errors and bodies have types of their own.
#[test]
fn the_canary_needs_no_type_in_common_with_stable_but_the_request() {
    let runtime = ByHand::default();
    let canary = service_fn(|_: Request<Body>| ready(Err::<Response<Full<Bytes>>, _>(())));
    let (layer, handle) = mirror(canary, runtime.clone());
    assert_eq!(call(&layer.layer(Says::new("v1"))), "v1");
    runtime.run();
    assert_eq!((handle.counts().failed, handle.counts().panicked), (1, 0));
}

#[test]
fn the_counts_add_up_at_every_moment_while_calls_race() {
    const CALLS: u64 = 2000;
    let spawn = |task: BoxFuture| {
        let mut task = task;
        let mut cx = Context::from_waker(Waker::noop());
        while task.as_mut().poll(&mut cx).is_pending() {}
    };
    let never = |_: Duration| -> BoxFuture { Box::pin(std::future::pending()) };
    let (layer, handle) = mirror(Says::new("v2"), (spawn, never));
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let MirrorCounts { copied, mismatched, ref dropped, .. } = handle.counts();
                assert!(mismatched + dropped.total() <= copied);
            }
        });
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let service = layer.layer(Says::new("v1"));
                scope.spawn(move || (0..CALLS).for_each(|_| drop(call(&service))))
            })
            .collect();
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    let counts = handle.counts();
    assert_eq!((counts.copied, counts.in_flight()), (4 * CALLS, 0));
    assert_eq!(handle.memory_used(), 0);
}

#[test]
#[should_panic(expected = "the concurrency of a mirror is 0: expected at least 1")]
fn a_mirror_that_could_send_nothing_is_refused() {
    let _ = MirrorOptions::new().concurrency(0);
}

#[test]
#[should_panic(expected = r#"field path "at": expected a JSON pointer"#)]
fn a_field_path_that_is_none_is_refused_with_the_rule() {
    let _ = ByField::new().ignore("at");
}

#[test]
fn what_is_public_can_be_shared_and_cloned() {
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
    is_shared::<Answer>();
    is_shared::<Mirrored>();
}

#[test]
fn a_worker_lets_others_go_first_after_each_copy() {
    let runtime = ByHand::default();
    let options = MirrorOptions::new().share(Weight::FULL).concurrency(1).queue(5);
    let layer = MirrorLayer::with_runtime("shop", Says::new("v1"), options, runtime.clone());
    let service = layer.layer(Says::new("v1"));
    (0..5).for_each(|_| assert_eq!(call(&service), "v1"));
    let mut cx = Context::from_waker(Waker::noop());
    for matched in 1..=5 {
        assert!(runtime.tasks.lock().unwrap()[0].as_mut().poll(&mut cx).is_pending());
        assert_eq!(layer.handle().counts().matched, matched);
    }
}

#[test]
fn a_difference_tells_the_path_without_its_query() {
    let runtime = ByHand::default();
    let (layer, handle) = mirror(Says::new("v2"), runtime.clone());
    let mut request = Request::new(body(""));
    *request.uri_mut() = "/search?token=secret".parse().unwrap();
    let call = layer.layer(Says::new("v1")).oneshot(request);
    let answer = tokio_test::block_on(call).unwrap();
    tokio_test::block_on(answer.into_body().collect()).unwrap();
    runtime.run();
    assert_eq!(handle.differences()[0].path, "/search");
}

/// HTTP/1 drops a body when it has sent what `content-length` promised, whether it has ended or not.
#[test]
fn an_answer_is_whole_when_all_bytes_of_its_length_were_read() {
    let feed = || {
        let frames = [Ok::<_, BoxError>(Frame::data(Bytes::from_static(b"four")))];
        // Unlike a full body, a stream does not foretell its end.
        Body::of(StreamBody::new(futures_util::stream::iter(frames)))
    };
    for (length, matched) in [(Some("4"), 1), (Some("5"), 0), (None, 0)] {
        let stable = service_fn(move |_: Request<Body>| {
            let mut response = Response::new(feed());
            if let Some(length) = length {
                response.headers_mut().insert("content-length", length.parse().unwrap());
            }
            ready(Ok::<_, Infallible>(response))
        });
        let runtime = ByHand::default();
        let (layer, handle) = mirror(Says::new("four"), runtime.clone());
        let answer = layer.layer(stable).oneshot(Request::new(body("")));
        let mut cx = Context::from_waker(Waker::noop());
        let Poll::Ready(Ok(answer)) = std::pin::pin!(answer).poll(&mut cx) else { panic!() };
        let mut answer = answer.into_body();
        let frame = std::pin::pin!(answer.frame()).poll(&mut cx);
        assert!(matches!(frame, Poll::Ready(Some(Ok(_)))));
        drop(answer);
        runtime.run();
        let counts = handle.counts();
        assert_eq!(counts.matched, matched, "{length:?}: {counts:?}");
        assert_eq!(counts.dropped[DropReason::CallerLeft], 1 - matched, "{length:?}: {counts:?}");
    }
}
