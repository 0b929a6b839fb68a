//! The canary is asked whether it is ready, and called, before the future is polled.
#![allow(clippy::unwrap_used)]

use std::{
    future::{Ready, ready},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Empty;
use tokio_test::{assert_pending, assert_ready, assert_ready_err, task};
use tower::{BoxError, Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, CanaryService, ChannelCounts, Classification, Weight,
    control::ControlExt,
};

/// What a service does when it is cloned, asked or called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Deed {
    Answers,
    PanicsWhenCloned,
    PanicsWhenAsked,
    FailsWhenFirstAsked,
    PanicsWhenCalled,
    IsNeverReady,
}

#[derive(Debug)]
struct Doer {
    deed: Deed,
    is_armed: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    called: Arc<AtomicUsize>,
}

impl Doer {
    fn new(deed: Deed) -> Self {
        let (is_armed, asked, called) = Default::default();
        Self { deed, is_armed, asked, called }
    }
}

impl Clone for Doer {
    fn clone(&self) -> Self {
        let is_armed = self.is_armed.load(Ordering::SeqCst);
        assert!(!(is_armed && self.deed == Deed::PanicsWhenCloned), "as the test wants it to");
        let [asked, called] = [&self.asked, &self.called].map(Arc::clone);
        Self { deed: self.deed, is_armed: Arc::clone(&self.is_armed), asked, called }
    }
}

impl Service<Request<()>> for Doer {
    type Response = Response<Empty<Bytes>>;
    type Error = BoxError;
    type Future = Ready<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        let asked = self.asked.fetch_add(1, Ordering::SeqCst);
        match self.deed {
            Deed::PanicsWhenAsked => panic!("as the test wants it to"),
            Deed::FailsWhenFirstAsked if asked == 0 => Poll::Ready(Err("not today".into())),
            Deed::IsNeverReady => Poll::Pending,
            _ => Poll::Ready(Ok(())),
        }
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        self.called.fetch_add(1, Ordering::SeqCst);
        assert_ne!(self.deed, Deed::PanicsWhenCalled, "as the test wants it to");
        ready(Ok(Response::new(Empty::new())))
    }
}

/// A canary that does it, at a weight, beside a stable that answers.
struct Mounted {
    canary: Doer,
    handle: CanaryHandle,
    service: CanaryService<Doer, Doer>,
}

impl Mounted {
    fn new(deed: Deed, weight: Weight) -> Self {
        let canary = Doer::new(deed);
        let layer = CanaryLayer::new("at-once", canary.clone());
        layer.handle().set_weight(weight).unwrap();
        let service = layer.layer(Doer::new(Deed::Answers));
        canary.is_armed.store(true, Ordering::SeqCst);
        Self { canary, handle: layer.handle(), service }
    }

    fn call(&mut self) -> <CanaryService<Doer, Doer> as Service<Request<()>>>::Future {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(self.service.poll_ready(&mut cx).is_ready());
        self.service.call(Request::new(()))
    }

    fn canary_counts(&self) -> ChannelCounts {
        self.handle.counts().total().evidence.canary
    }
}

#[test]
fn a_call_that_nobody_polls_reached_the_canary_and_was_cancelled() {
    let mut mounted = Mounted::new(Deed::Answers, ALMOST_ALL);
    drop(mounted.call());
    assert_eq!(mounted.canary.called.load(Ordering::SeqCst), 1);
    let counts = mounted.canary_counts();
    assert_eq!([counts.picked, counts.cancelled, counts.ended()], [1, 1, 1]);
}

#[test]
fn a_canary_that_panics_when_called_did_though_nobody_polls() {
    let mut mounted = Mounted::new(Deed::PanicsWhenCalled, ALMOST_ALL);
    let failures = Arc::new(AtomicUsize::new(0));
    let told = Arc::clone(&failures);
    mounted.handle.on_canary_failure(move |_, _| {
        told.fetch_add(1, Ordering::SeqCst);
    });
    drop(mounted.call());
    let counts = mounted.canary_counts();
    assert_eq!([counts.panicked, counts.failure, counts.ended()], [1, 1, 1]);
    assert_eq!(failures.load(Ordering::SeqCst), 1);
}

#[test]
fn a_canary_that_panics_when_cloned_or_asked_spills() {
    for deed in [Deed::PanicsWhenCloned, Deed::PanicsWhenAsked] {
        let mut mounted = Mounted::new(deed, ALMOST_ALL);
        let response = assert_ready!(task::spawn(mounted.call()).poll()).unwrap();
        assert_eq!(response.headers()["x-canary-channel"], "stable", "{deed:?}");
        assert_eq!(mounted.canary_counts().spilled, 1, "{deed:?}");
    }
}

#[test]
fn at_full_weight_a_canary_is_asked_once_and_what_it_says_counts() {
    let mut mounted = Mounted::new(Deed::FailsWhenFirstAsked, Weight::FULL);
    let error = assert_ready_err!(task::spawn(mounted.call()).poll());
    assert_eq!(error.to_string(), "not today");
    assert_eq!(mounted.canary.asked.load(Ordering::SeqCst), 1);
    let counts = mounted.canary_counts();
    assert_eq!([counts.failure, counts.panicked, counts.ended()], [1, 0, 1]);

    for deed in [Deed::PanicsWhenAsked, Deed::PanicsWhenCloned] {
        let mut mounted = Mounted::new(deed, Weight::FULL);
        let response = assert_ready!(task::spawn(mounted.call()).poll()).unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{deed:?}");
        let counts = mounted.canary_counts();
        assert_eq!([counts.failure, counts.panicked, counts.ended()], [1, 1, 1], "{deed:?}");
    }

    let mut mounted = Mounted::new(Deed::IsNeverReady, Weight::FULL);
    assert_pending!(task::spawn(mounted.call()).poll());
}

/// A task that makes many calls at once spends tokio's budget with the first hundred of them.
#[cfg(feature = "tokio")]
#[tokio::test]
async fn a_spent_budget_makes_no_canary_busy() {
    let canary = tower::buffer::Buffer::new(Doer::new(Deed::Answers), 10_000);
    let layer = CanaryLayer::new("budget", canary);
    let handle = layer.handle();
    handle.set_weight(ALMOST_ALL).unwrap();
    let mut service = layer.layer(Doer::new(Deed::Answers));
    let mut calls = Vec::new();
    for _ in 0..1000 {
        let mut cx = Context::from_waker(Waker::noop());
        assert!(service.poll_ready(&mut cx).is_ready());
        calls.push(service.call(Request::new(())));
    }
    for call in calls {
        call.await.unwrap();
    }
    let counts = handle.counts().total().evidence.canary;
    // One in a million is stable's by chance.
    assert!(counts.picked > 990, "{counts:?}");
    assert_eq!(counts.spilled, 0);
}

#[test]
fn a_call_that_nobody_polls_gives_back_its_place_and_the_permits() {
    let limited = || ConcurrencyLimit::new(Doer::new(Deed::Answers), 1);
    let options = CanaryOptions::new().concurrency_limit(1);
    let layer = CanaryLayer::with_options("limited", limited(), options);
    let handle = layer.handle();
    handle.set_weight(ALMOST_ALL).unwrap();
    let mut service = layer.layer(limited());
    for _ in 0..3 {
        assert!(service.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
        // Stable's permit is free as soon as the canary has the call.
        let call = service.call(Request::new(()));
        assert!(service.clone().poll_ready(&mut Context::from_waker(Waker::noop())).is_ready());
        drop(call);
    }
    let counts = handle.counts().total().evidence.canary;
    assert_eq!([counts.picked, counts.cancelled, counts.spilled], [3, 3, 0]);
}

#[tokio::test]
async fn the_head_of_an_upgrade_that_nobody_holds_is_counted() {
    let handle: Arc<OnceLock<CanaryHandle>> = Arc::default();
    let in_service = Arc::clone(&handle);
    let service = service_fn(move |request: Request<()>| {
        // The epoch of the call is superseded, and closes when the call ends.
        in_service.get().unwrap().set_weight(Weight::from_percent(50)).unwrap();
        drop(request);
        let mut response = Response::new(Empty::<Bytes>::new());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        ready(Ok::<_, BoxError>(response))
    });
    let options = CanaryOptions::new().classify(|_: &Response<()>| Classification::Failure);
    let layer = CanaryLayer::with_options("upgrade", service.clone(), options);
    let handle = handle.get_or_init(|| layer.handle());
    handle.set_weight(ALMOST_ALL).unwrap();
    handle.on_canary_failure(|handle, _| drop(handle.counts()));
    let request = Request::builder().header("connection", "upgrade").header("upgrade", "websocket");
    layer.layer(service).oneshot(request.body(()).unwrap()).await.unwrap();

    let counts = handle.counts().total().evidence.canary;
    assert_eq!([counts.failure, counts.head.total(), counts.end.total()], [1, 1, 1]);
}

/// A body that panics when it is asked something once more than it may be.
#[derive(Clone, Debug)]
struct Asked {
    whether_it_is_over: Arc<AtomicUsize>,
    how_long_it_is: Arc<AtomicUsize>,
}

impl Asked {
    fn new([whether_it_is_over, how_long_it_is]: [usize; 2]) -> Self {
        let [whether_it_is_over, how_long_it_is] =
            [whether_it_is_over, how_long_it_is].map(|times| Arc::new(AtomicUsize::new(times)));
        Self { whether_it_is_over, how_long_it_is }
    }

    fn count_down(times: &AtomicUsize) {
        let left = times.load(Ordering::SeqCst);
        assert_ne!(left, 0, "as the test wants it to");
        times.store(left - 1, Ordering::SeqCst);
    }
}

impl Body for Asked {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"x")))))
    }

    fn is_end_stream(&self) -> bool {
        Self::count_down(&self.whether_it_is_over);
        false
    }

    fn size_hint(&self) -> SizeHint {
        Self::count_down(&self.how_long_it_is);
        SizeHint::with_exact(1)
    }
}

/// Calls it, asks its body all that a server asks, and reads on until it is over or fails.
fn read<S, B>(service: S) -> StatusCode
where
    S: Service<Request<()>, Response = Response<B>, Error = BoxError>,
    B: Body,
{
    let response = assert_ready!(task::spawn(service.oneshot(Request::new(()))).poll()).unwrap();
    let (status, mut body) = (response.status(), task::spawn(Box::pin(response.into_body())));
    for _ in 0..3 {
        if body.is_end_stream() {
            break;
        }
        let _ = body.size_hint();
        let _ = body.enter(|cx, body| body.get_mut().as_mut().poll_frame(cx));
    }
    status
}

/// How often a body answers whether it is over, and how long it is, before it panics; and what callers of
/// a canary get for it.
const PANICS: [([usize; 2], StatusCode); 5] = [
    ([0, 9], StatusCode::INTERNAL_SERVER_ERROR),
    ([9, 0], StatusCode::INTERNAL_SERVER_ERROR),
    ([1, 9], StatusCode::OK),
    ([2, 9], StatusCode::OK),
    ([9, 1], StatusCode::OK),
];

#[test]
fn a_body_of_the_canarys_that_panics_when_asked_is_a_panic_of_the_canarys_alone() {
    for (times, status) in PANICS {
        let body = Asked::new(times);
        let service =
            service_fn(move |_: Request<()>| ready(Ok::<_, BoxError>(Response::new(body.clone()))));
        let layer = CanaryLayer::new("panics", service.clone());
        layer.handle().set_weight(ALMOST_ALL).unwrap();
        assert_eq!(read(layer.layer(service)), status, "{times:?}");
        let counts = layer.handle().counts().total().evidence.canary;
        // Asked how long it is, a body that is under way does not have to know.
        let panics = u64::from(times != [9, 1]);
        assert_eq!(counts.panicked, panics, "{times:?}");
        assert_eq!([counts.picked, counts.ended()], [1, 1], "{times:?}");
    }
}

#[test]
fn a_body_of_stables_that_panics_when_asked_is_a_panic() {
    for times in [[0, 9], [9, 0], [2, 9]] {
        let body = Asked::new(times);
        let service =
            service_fn(move |_: Request<()>| ready(Ok::<_, BoxError>(Response::new(body.clone()))));
        let layer = CanaryLayer::new("panics", service.clone());
        assert!(catch_unwind(AssertUnwindSafe(|| read(layer.layer(service)))).is_err());
        let counts = layer.handle().counts().total().evidence.stable;
        assert_eq!([counts.panicked, counts.failure, counts.ended()], [1, 1, 1], "{times:?}");
    }
}

const ALMOST_ALL: Weight = Weight::from_ppm(999_999);
