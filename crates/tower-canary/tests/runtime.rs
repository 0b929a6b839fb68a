//! A canary on a runtime of its own.
#![cfg(feature = "tokio")]
#![allow(clippy::unwrap_used)]

use std::{
    convert::Infallible,
    future::{pending, poll_fn, ready},
    pin::Pin,
    sync::{Arc, Barrier, Mutex, mpsc as std_mpsc},
    task::{Context, Poll},
    thread,
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, Channel, Counts, UnifyBody, Weight,
    runtime::OnRuntime,
    select::{Incoming, Selection},
};

/// A runtime with one thread, which the test leaves alone when it ends.
struct Other(Option<Runtime>);

impl Other {
    fn new() -> Self {
        let mut builder = Builder::new_multi_thread();
        Self(Some(builder.worker_threads(1).thread_name("the other").enable_all().build().unwrap()))
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().unwrap().handle().clone()
    }

    fn shut_down(&mut self) {
        // Waits, which is fine for a thread that is not blocked, but not on a runtime's thread.
        let runtime = self.0.take().unwrap();
        thread::spawn(|| runtime.shutdown_timeout(PATIENCE)).join().unwrap();
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Ends a test that would hang. Nothing takes as long.
const PATIENCE: Duration = Duration::from_secs(30);

async fn soon<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it should happen soon")
}

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

/// Where a canary goes down.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Place {
    Nowhere,
    Readiness,
    Call,
    Future,
    Body,
}

/// Says on which thread it runs, wherever it is asked.
#[derive(Clone)]
struct Tells {
    goes_down: Place,
    threads: Arc<Mutex<Vec<String>>>,
}

impl Tells {
    fn new(goes_down: Place) -> Self {
        Self { goes_down, threads: Arc::default() }
    }

    fn at(&self, place: Place) {
        self.threads.lock().unwrap().push(thread_name());
        assert!(self.goes_down != place, "as the test wants it to");
    }
}

impl Service<Request<()>> for Tells {
    type Response = Response<TellingBody>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.at(Place::Readiness);
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        self.at(Place::Call);
        let tells = self.clone();
        Box::pin(async move {
            tells.at(Place::Future);
            Ok(Response::new(TellingBody(tells, 2)))
        })
    }
}

struct TellingBody(Tells, u8);

impl http_body::Body for TellingBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.1 -= 1;
        if self.1 == 0 {
            self.0.at(Place::Body);
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from("frame")))))
    }
}

type Stable = tower::util::BoxCloneService<
    Request<()>,
    Response<tower_canary::UnifiedBody<Bytes>>,
    Infallible,
>;

fn stable() -> Stable {
    let answer = |_: Request<()>| ready(Ok(Response::new(Full::<Bytes>::from("stable's"))));
    tower::util::BoxCloneService::new(UnifyBody::new(service_fn(answer)))
}

/// All calls are the canary's, as evidence, at less than full weight.
fn layer_of<C: 'static>(canary: C) -> CanaryLayer<C> {
    let options = CanaryOptions::new()
        .select(|request: &Incoming<'_>| request.sticky_key("ann").map(Selection::sticky));
    let layer = CanaryLayer::with_options("elsewhere", canary, options);
    layer.handle().set_weight(Weight::from_ppm(999_999)).unwrap();
    layer
}

fn counts(handle: &CanaryHandle) -> Counts {
    let counts = handle.counts().total();
    for channel in Channel::ALL {
        let counts = counts.total(channel);
        assert_eq!(counts.picked, counts.ended() + counts.in_flight());
    }
    counts
}

fn channel_of<B>(response: &Response<B>) -> &str {
    response.headers()["x-canary-channel"].to_str().unwrap()
}

#[tokio::test]
async fn readiness_call_future_and_body_run_on_the_other_runtime() {
    let other = Other::new();
    let tells = Tells::new(Place::Nowhere);
    let mut service = OnRuntime::new(other.handle(), tells.clone());
    let response = soon(service.ready().await.unwrap().call(Request::new(()))).await.unwrap();
    assert_eq!(soon(response.into_body().collect()).await.unwrap().to_bytes(), "frame");
    assert_eq!(*tells.threads.lock().unwrap(), ["the other"; 4]);
}

#[tokio::test]
async fn a_panic_anywhere_is_carried_over_and_counts_as_the_canarys() {
    let other = Other::new();
    for place in [Place::Readiness, Place::Call, Place::Future, Place::Body] {
        let canary = OnRuntime::new(other.handle(), Tells::new(place));
        let layer = layer_of(UnifyBody::new(canary));
        let response = soon(layer.layer(stable()).oneshot(Request::new(()))).await.unwrap();
        assert_eq!(channel_of(&response), "canary");
        if place == Place::Body {
            assert_eq!(response.status(), StatusCode::OK);
            let error = soon(response.into_body().collect()).await.unwrap_err();
            assert_eq!(error.to_string(), "the response body panicked");
        } else {
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{place:?}");
        }
        let canary = counts(&layer.handle()).evidence.canary;
        assert_eq!([canary.failure, canary.panicked, canary.in_flight()], [1, 1, 0], "{place:?}");
    }
}

#[tokio::test]
async fn a_canary_that_blocks_all_threads_of_its_runtime_delays_nobody_else() {
    let other = Other::new();
    let (blocked, release) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let blocks = service_fn({
        let (blocked, release) = (Arc::clone(&blocked), Arc::clone(&release));
        move |_: Request<()>| {
            let (blocked, release) = (Arc::clone(&blocked), Arc::clone(&release));
            async move {
                blocked.wait();
                release.wait();
                Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("canary's")))
            }
        }
    });
    let canary = OnRuntime::new(other.handle(), blocks).max_calls(3);
    let layer = layer_of(UnifyBody::new(canary));
    let handle = layer.handle();
    let service = layer.layer(stable());
    let mut calls: Vec<_> =
        (0..3).map(|_| tokio::spawn(service.clone().oneshot(Request::new(())))).collect();
    tokio::task::yield_now().await;
    thread::spawn(move || blocked.wait()).join().unwrap();

    // The only thread is blocked, two tasks wait for it, and there is no place for another.
    assert_eq!(handle.open(Channel::Canary), 3);
    let response = service.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!(channel_of(&response), "stable");
    assert_eq!(counts(&handle).evidence.canary.spilled, 1);

    // Callers who leave do not make room, since their tasks are still there.
    calls.drain(1..).for_each(|call| call.abort());
    while handle.open(Channel::Canary) > 1 {
        tokio::task::yield_now().await;
    }
    let response = service.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!(channel_of(&response), "stable");

    // A thread that comes back finds the tasks aborted, and runs none of them.
    let released = thread::spawn(move || release.wait());
    let response = soon(calls.remove(0)).await.unwrap().unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "canary's");
    released.join().unwrap();
    let canary = counts(&handle).evidence.canary;
    assert_eq!([canary.success, canary.cancelled, canary.spilled], [1, 2, 2]);
}

/// Says when it is dropped.
struct Dropped(Option<oneshot::Sender<String>>);

impl Drop for Dropped {
    fn drop(&mut self) {
        let _ = self.0.take().unwrap().send(thread_name());
    }
}

#[tokio::test]
async fn a_call_whose_caller_left_is_aborted() {
    let other = Other::new();
    let (sender, dropped) = oneshot::channel();
    let (begin, begun) = std_mpsc::channel();
    let slot = Arc::new(Mutex::new(Some(Dropped(Some(sender)))));
    let hangs = service_fn(move |_: Request<()>| {
        let (guard, begin) = (slot.lock().unwrap().take(), begin.clone());
        async move {
            let _guard = guard;
            begin.send(()).unwrap();
            pending::<Result<Response<Full<Bytes>>, Infallible>>().await
        }
    });
    let call = tokio::spawn(OnRuntime::new(other.handle(), hangs).oneshot(Request::new(())));
    tokio::task::yield_now().await;
    thread::spawn(move || begun.recv_timeout(PATIENCE)).join().unwrap().unwrap();
    call.abort();
    assert_eq!(soon(dropped).await.unwrap(), "the other");
}

#[tokio::test]
async fn a_body_that_is_dropped_is_dropped_on_its_runtime() {
    let other = Other::new();
    let (sender, dropped) = oneshot::channel();
    let slot = Arc::new(Mutex::new(Some(Dropped(Some(sender)))));
    let streams = service_fn(move |_: Request<()>| {
        let guard = slot.lock().unwrap().take();
        let frames = futures_util::stream::poll_fn(move |_| {
            let _ = &guard;
            Poll::<Option<Result<Frame<Bytes>, Infallible>>>::Pending
        });
        ready(Ok::<_, Infallible>(Response::new(StreamBody::new(frames))))
    });
    let service = OnRuntime::new(other.handle(), streams);
    let response = soon(service.oneshot(Request::new(()))).await.unwrap();
    drop(response);
    assert_eq!(soon(dropped).await.unwrap(), "the other");
}

#[tokio::test]
async fn frames_trailers_errors_and_hints_are_those_of_the_original() {
    let other = Other::new();
    let whole = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("whole")))))
    });
    let mut body = soon(OnRuntime::new(other.handle(), whole).oneshot(Request::new(())))
        .await
        .unwrap()
        .into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
    let frame = soon(body.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "whole");
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
    assert!(soon(body.frame()).await.is_none());

    let empty = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let body = soon(OnRuntime::new(other.handle(), empty).oneshot(Request::new(())))
        .await
        .unwrap()
        .into_body();
    assert!(body.is_end_stream());

    let trailers: HeaderMap =
        [("x-sum".parse().unwrap(), "6".parse().unwrap())].into_iter().collect();
    let streams = service_fn({
        let trailers = trailers.clone();
        move |_: Request<()>| {
            let frames = [
                Ok(Frame::data(Bytes::from("one"))),
                Ok(Frame::trailers(trailers.clone())),
                Err(BoxError::from("broken")),
            ];
            let body = StreamBody::new(futures_util::stream::iter(frames));
            ready(Ok::<_, Infallible>(Response::new(body)))
        }
    });
    let mut body = soon(OnRuntime::new(other.handle(), streams).oneshot(Request::new(())))
        .await
        .unwrap()
        .into_body();
    assert_eq!(body.size_hint().upper(), SizeHint::new().upper());
    assert!(soon(body.frame()).await.unwrap().unwrap().is_data());
    assert_eq!(soon(body.frame()).await.unwrap().unwrap().into_trailers().unwrap(), trailers);
    assert_eq!(soon(body.frame()).await.unwrap().unwrap_err().to_string(), "broken");
    assert!(soon(body.frame()).await.is_none());
}

#[tokio::test]
async fn errors_of_the_canary_pass_unchanged() {
    let other = Other::new();
    let fails = service_fn(|_: Request<()>| {
        ready(Err::<Response<Full<Bytes>>, _>(BoxError::from("the canary fails")))
    });
    let error =
        soon(OnRuntime::new(other.handle(), fails).oneshot(Request::new(()))).await.unwrap_err();
    assert_eq!(error.to_string(), "the canary fails");
}

#[tokio::test]
async fn once_the_runtime_is_shut_down_open_calls_fail_and_new_ones_spill() {
    let mut other = Other::new();
    let (begin, begun) = std_mpsc::channel();
    let hangs = service_fn(move |_: Request<()>| {
        begin.send(()).unwrap();
        pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let layer = layer_of(UnifyBody::new(OnRuntime::new(other.handle(), hangs)));
    let handle = layer.handle();
    let service = layer.layer(stable());
    let open = tokio::spawn(service.clone().oneshot(Request::new(())));
    tokio::task::yield_now().await;
    thread::spawn(move || begun.recv_timeout(PATIENCE)).join().unwrap().unwrap();
    other.shut_down();

    let response = soon(open).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let response = soon(service.clone().oneshot(Request::new(()))).await.unwrap();
    assert_eq!(channel_of(&response), "stable");
    let canary = counts(&handle).evidence.canary;
    assert_eq!([canary.failure, canary.panicked, canary.spilled], [1, 1, 1]);

    handle.promote().unwrap();
    let response = soon(service.oneshot(Request::new(()))).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_place_is_free_again_when_the_task_has_ended() {
    let other = Other::new();
    let answers = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let service = OnRuntime::new(other.handle(), answers).max_calls(1);
    for _ in 0..100 {
        let mut service = service.clone();
        soon(poll_fn(|cx| Service::<Request<()>>::poll_ready(&mut service, cx))).await.unwrap();
        soon(service.call(Request::new(()))).await.unwrap();
    }
    // One who is ready and does not call gives the place back, to one who waits.
    let (mut holder, mut waiting) = (service.clone(), service);
    soon(poll_fn(|cx| Service::<Request<()>>::poll_ready(&mut holder, cx))).await.unwrap();
    let waiting = tokio::spawn(async move {
        poll_fn(|cx| Service::<Request<()>>::poll_ready(&mut waiting, cx)).await.unwrap();
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(holder);
    soon(waiting).await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "max_calls is zero: expected at least one call")]
async fn a_runtime_for_no_calls_is_refused() {
    let _ = OnRuntime::new(Handle::current(), ()).max_calls(0);
}
