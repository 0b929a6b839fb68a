//! A canary on its own runtime.

use std::{
    collections::BTreeSet,
    convert::Infallible,
    future::{pending, poll_fn, ready},
    sync::{Arc, Barrier, Mutex, mpsc as std_mpsc},
    task::Poll,
    thread,
    time::Duration,
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Full, StreamBody};
use tokio::{
    runtime::{Builder, Handle, Runtime},
    sync::oneshot,
};
use tower::{BoxError, Layer, Service, ServiceExt, service_fn, util::BoxCloneService};
use tower_canary::{
    CanaryLayer, CanaryOptions, Channel,
    body::{UnifiedBody, UnifyBody},
    runtime::OnRuntime,
};

use crate::support::{
    ALMOST_ALL, OnCall, OnPoll, Readiness, ScriptedBody, ScriptedService, Step, channel_of, counts,
    one_key,
};

const THREAD: &str = "canary-runtime";

/// A runtime with one thread, which is not joined at the end of the test.
struct CanaryRuntime(Option<Runtime>);

impl CanaryRuntime {
    fn new() -> Self {
        let mut builder = Builder::new_multi_thread();
        Self(Some(builder.worker_threads(1).thread_name(THREAD).enable_all().build().unwrap()))
    }

    fn handle(&self) -> Handle {
        self.0.as_ref().unwrap().handle().clone()
    }

    fn shut_down(&mut self) {
        // This waits, which is not allowed on a thread of a runtime.
        let runtime = self.0.take().unwrap();
        thread::spawn(|| runtime.shutdown_timeout(TIMEOUT)).join().unwrap();
    }
}

impl Drop for CanaryRuntime {
    fn drop(&mut self) {
        self.0.take().into_iter().for_each(Runtime::shutdown_background);
    }
}

/// Ends a test that hangs. No test takes this long.
const TIMEOUT: Duration = Duration::from_secs(30);

async fn complete<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(TIMEOUT, future).await.expect("a future did not complete in time")
}

fn stable() -> BoxCloneService<Request<()>, Response<UnifiedBody<Bytes>>, BoxError> {
    BoxCloneService::new(UnifyBody::new(ScriptedService::new()))
}

/// Assigns all calls to the canary, at less than full weight.
fn layer<C: 'static>(canary: C) -> CanaryLayer<C> {
    let options = CanaryOptions::new().select(one_key);
    let layer = CanaryLayer::with_options("on-runtime", canary, options);
    layer.handle().set_weight(ALMOST_ALL).unwrap();
    layer
}

#[tokio::test]
async fn readiness_call_future_and_body_run_on_the_canarys_runtime() {
    let runtime = CanaryRuntime::new();
    let body = ScriptedBody::new([Step::Data("frame"), Step::End]);
    let canary = ScriptedService::new().body(body).record_threads();
    let mut service = OnRuntime::new(runtime.handle(), canary.clone());
    let response = complete(service.ready().await.unwrap().call(Request::new(()))).await.unwrap();
    assert_eq!(complete(response.into_body().collect()).await.unwrap().to_bytes(), "frame");
    assert_eq!([canary.polls(), canary.calls()], [1, 1]);
    assert_eq!(canary.threads(), BTreeSet::from([THREAD.to_owned()]));
}

#[tokio::test]
async fn a_panic_on_the_runtime_counts_as_a_failure_of_the_canary() {
    let runtime = CanaryRuntime::new();
    let broken_body = ScriptedBody::new([Step::Data("frame"), Step::Panic]);
    for (canary, panics_in_body) in [
        (ScriptedService::new().readiness(Readiness::Panics), false),
        (ScriptedService::new().call(OnCall::Panic), false),
        (ScriptedService::new().future(OnPoll::Panic), false),
        (ScriptedService::new().body(broken_body), true),
    ] {
        let name = format!("{canary:?}");
        let canary = OnRuntime::new(runtime.handle(), canary);
        let layer = layer(UnifyBody::new(canary));
        let response = complete(layer.layer(stable()).oneshot(Request::new(()))).await.unwrap();
        assert_eq!(channel_of(&response), "canary");
        if panics_in_body {
            assert_eq!(response.status(), StatusCode::OK);
            let error = complete(response.into_body().collect()).await.unwrap_err();
            assert_eq!(error.to_string(), "the response body panicked");
        } else {
            assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{name}");
        }
        let canary = counts(&layer.handle()).evidence.canary;
        assert_eq!([canary.failure, canary.panicked, canary.in_flight()], [1, 1, 0], "{name}");
    }
}

#[tokio::test]
async fn a_canary_that_blocks_its_runtime_delays_no_other_calls() {
    let runtime = CanaryRuntime::new();
    let (blocked, release) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let canary = service_fn({
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
    let canary = OnRuntime::new(runtime.handle(), canary).max_calls(3);
    let layer = layer(UnifyBody::new(canary));
    let handle = layer.handle();
    let service = layer.layer(stable());
    let mut calls: Vec<_> =
        (0..3).map(|_| tokio::spawn(service.clone().oneshot(Request::new(())))).collect();
    tokio::task::yield_now().await;
    thread::spawn(move || blocked.wait()).join().unwrap();

    // The only thread is blocked, two tasks wait for it, and no permit is left.
    assert_eq!(handle.open(Channel::Canary), 3);
    let response = service.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!(channel_of(&response), "stable");
    assert_eq!(counts(&handle).evidence.canary.spilled, 1);

    // The permits of cancelled calls are not free while their tasks exist.
    calls.drain(1..).for_each(|call| call.abort());
    while handle.open(Channel::Canary) > 1 {
        tokio::task::yield_now().await;
    }
    let response = service.clone().oneshot(Request::new(())).await.unwrap();
    assert_eq!(channel_of(&response), "stable");

    // The thread, once it is released, does not run the aborted tasks.
    let released = thread::spawn(move || release.wait());
    let response = complete(calls.remove(0)).await.unwrap().unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "canary's");
    released.join().unwrap();
    let canary = counts(&handle).evidence.canary;
    assert_eq!([canary.success, canary.cancelled, canary.spilled], [1, 2, 2]);
}

/// Sends the name of the thread on which it is dropped.
struct DropProbe(Option<oneshot::Sender<String>>);

impl Drop for DropProbe {
    fn drop(&mut self) {
        let thread = thread::current().name().unwrap_or_default().to_owned();
        let _ = self.0.take().unwrap().send(thread);
    }
}

#[tokio::test]
async fn a_cancelled_call_is_aborted_on_its_runtime() {
    let runtime = CanaryRuntime::new();
    let (sender, dropped) = oneshot::channel();
    let (started, on_start) = std_mpsc::channel();
    let slot = Arc::new(Mutex::new(Some(DropProbe(Some(sender)))));
    let hangs = service_fn(move |_: Request<()>| {
        let (guard, started) = (slot.lock().unwrap().take(), started.clone());
        async move {
            let _guard = guard;
            started.send(()).unwrap();
            pending::<Result<Response<Full<Bytes>>, Infallible>>().await
        }
    });
    let call = tokio::spawn(OnRuntime::new(runtime.handle(), hangs).oneshot(Request::new(())));
    tokio::task::yield_now().await;
    thread::spawn(move || on_start.recv_timeout(TIMEOUT)).join().unwrap().unwrap();
    call.abort();
    assert_eq!(complete(dropped).await.unwrap(), THREAD);
}

#[tokio::test]
async fn a_body_that_is_dropped_is_dropped_on_its_runtime() {
    let runtime = CanaryRuntime::new();
    let (sender, dropped) = oneshot::channel();
    let slot = Arc::new(Mutex::new(Some(DropProbe(Some(sender)))));
    let streams = service_fn(move |_: Request<()>| {
        let guard = slot.lock().unwrap().take();
        let frames = futures_util::stream::poll_fn(move |_| {
            let _ = &guard;
            Poll::<Option<Result<Frame<Bytes>, Infallible>>>::Pending
        });
        ready(Ok::<_, Infallible>(Response::new(StreamBody::new(frames))))
    });
    let service = OnRuntime::new(runtime.handle(), streams);
    let response = complete(service.oneshot(Request::new(()))).await.unwrap();
    drop(response);
    assert_eq!(complete(dropped).await.unwrap(), THREAD);
}

#[tokio::test]
async fn frames_trailers_errors_and_size_hints_pass_unchanged() {
    let runtime = CanaryRuntime::new();
    let whole = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("whole")))))
    });
    let mut body = complete(OnRuntime::new(runtime.handle(), whole).oneshot(Request::new(())))
        .await
        .unwrap()
        .into_body();
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
    let frame = complete(body.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "whole");
    assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(0), true));
    assert!(complete(body.frame()).await.is_none());

    let empty = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let body = complete(OnRuntime::new(runtime.handle(), empty).oneshot(Request::new(())))
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
    let mut body = complete(OnRuntime::new(runtime.handle(), streams).oneshot(Request::new(())))
        .await
        .unwrap()
        .into_body();
    assert_eq!(body.size_hint().upper(), SizeHint::new().upper());
    assert!(complete(body.frame()).await.unwrap().unwrap().is_data());
    assert_eq!(complete(body.frame()).await.unwrap().unwrap().into_trailers().unwrap(), trailers);
    assert_eq!(complete(body.frame()).await.unwrap().unwrap_err().to_string(), "broken");
    assert!(complete(body.frame()).await.is_none());
}

#[tokio::test]
async fn errors_of_the_canary_pass_unchanged() {
    let runtime = CanaryRuntime::new();
    let fails = service_fn(|_: Request<()>| {
        ready(Err::<Response<Full<Bytes>>, _>(BoxError::from("the canary fails")))
    });
    let error = complete(OnRuntime::new(runtime.handle(), fails).oneshot(Request::new(())))
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "the canary fails");
}

#[tokio::test]
async fn after_a_shutdown_of_the_runtime_open_calls_fail_and_new_ones_spill() {
    let mut runtime = CanaryRuntime::new();
    let (started, on_start) = std_mpsc::channel();
    let hangs = service_fn(move |_: Request<()>| {
        started.send(()).unwrap();
        pending::<Result<Response<Full<Bytes>>, Infallible>>()
    });
    let layer = layer(UnifyBody::new(OnRuntime::new(runtime.handle(), hangs)));
    let handle = layer.handle();
    let service = layer.layer(stable());
    let open = tokio::spawn(service.clone().oneshot(Request::new(())));
    tokio::task::yield_now().await;
    thread::spawn(move || on_start.recv_timeout(TIMEOUT)).join().unwrap().unwrap();
    runtime.shut_down();

    let response = complete(open).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let response = complete(service.clone().oneshot(Request::new(()))).await.unwrap();
    assert_eq!(channel_of(&response), "stable");
    let canary = counts(&handle).evidence.canary;
    assert_eq!([canary.failure, canary.panicked, canary.spilled], [1, 1, 1]);

    handle.promote().unwrap();
    let response = complete(service.oneshot(Request::new(()))).await.unwrap();
    assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn the_end_of_a_task_frees_its_permit() {
    let runtime = CanaryRuntime::new();
    let answers = service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())))
    });
    let service = OnRuntime::new(runtime.handle(), answers).max_calls(1);
    for _ in 0..100 {
        let mut service = service.clone();
        complete(poll_fn(|cx| Service::<Request<()>>::poll_ready(&mut service, cx))).await.unwrap();
        complete(service.call(Request::new(()))).await.unwrap();
    }
    // A clone that is ready and dropped without a call passes its permit to a waiting clone.
    let (mut holder, mut waiting) = (service.clone(), service);
    complete(poll_fn(|cx| Service::<Request<()>>::poll_ready(&mut holder, cx))).await.unwrap();
    let waiting = tokio::spawn(async move {
        poll_fn(|cx| Service::<Request<()>>::poll_ready(&mut waiting, cx)).await.unwrap();
    });
    tokio::task::yield_now().await;
    assert!(!waiting.is_finished());
    drop(holder);
    complete(waiting).await.unwrap();
}

#[tokio::test]
#[should_panic(expected = "max_calls is zero: expected at least one call")]
async fn a_limit_of_zero_calls_is_refused() {
    let _ = OnRuntime::new(Handle::current(), ()).max_calls(0);
}
