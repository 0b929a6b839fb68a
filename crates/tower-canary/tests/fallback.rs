//! Calls that the canary failed, and stable repeats.
#![allow(clippy::unwrap_used)]

use std::{
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use tokio::sync::mpsc;
use tokio_test::{assert_pending, assert_ready_ok, task};
use tower::{BoxError, Layer, Service, ServiceExt, limit::ConcurrencyLimit, service_fn};
use tower_canary::{
    Assignment, AssignmentReason, CanaryHandle, CanaryLayer, CanaryOptions, Channel, Counts,
    Fallback, Weight,
    control::ControlExt,
    select::{Condition, Incoming, Selection},
};

type Body = UnsyncBoxBody<Bytes, BoxError>;

/// How the canary ends a call after it has read some of its request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum End {
    Answer(StatusCode),
    GrpcStatus(&'static str),
    Error,
    Panic,
    PanicInCall,
    Hang,
}

/// What the canary does: how many frames of the body it reads, and then.
#[derive(Clone, Copy, Debug)]
struct Sick {
    reads: usize,
    end: End,
}

impl Service<Request<Body>> for Sick {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let Self { reads, end } = *self;
        assert!(end != End::PanicInCall, "as the test wants it to");
        // What the canary does to its request is nobody else's business.
        request.headers_mut().insert("x-spoiled", "by the canary".parse().unwrap());
        *request.uri_mut() = "/elsewhere".parse().unwrap();
        Box::pin(async move {
            for _ in 0..reads {
                let _ = request.body_mut().frame().await;
            }
            let mut response = Response::new(Full::from("canary's"));
            match end {
                End::Answer(status) => *response.status_mut() = status,
                End::GrpcStatus(code) => {
                    response.headers_mut().insert("grpc-status", code.parse().unwrap());
                }
                End::Error => return Err("the canary fails".into()),
                End::Panic | End::PanicInCall => panic!("as the test wants it to"),
                End::Hang => std::future::pending().await,
            }
            Ok(response)
        })
    }
}

/// What stable saw of a request.
#[derive(Debug)]
struct Seen {
    head: http::request::Parts,
    body: Bytes,
    trailers: Option<HeaderMap>,
}

/// A stable that reads all of the request and answers.
#[derive(Clone, Default)]
struct Stable(Arc<Mutex<Vec<Seen>>>);

impl Service<Request<Body>> for Stable {
    type Response = Response<Full<Bytes>>;
    type Error = BoxError;
    type Future = BoxFuture<'static, Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let seen = Arc::clone(&self.0);
        Box::pin(async move {
            let (head, body) = request.into_parts();
            let body = body.collect().await?;
            let trailers = body.trailers().cloned();
            seen.lock().unwrap().push(Seen { head, body: body.to_bytes(), trailers });
            Ok(Response::new(Full::from("stable's")))
        })
    }
}

impl Stable {
    fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

fn boxed() -> Fallback {
    Fallback::new::<Body>(BodyExt::boxed_unsync)
}

/// All calls are the canary's, as evidence.
fn layer_of<C: 'static>(canary: C, fallback: Fallback) -> CanaryLayer<C> {
    layer_with(canary, CanaryOptions::new().fallback(fallback))
}

fn layer_with<C: 'static>(canary: C, options: CanaryOptions) -> CanaryLayer<C> {
    let options =
        options.select(|request: &Incoming<'_>| request.sticky_key("ann").map(Selection::sticky));
    let layer = CanaryLayer::with_options("sick", canary, options);
    layer.handle().set_weight(Weight::from_ppm(999_999)).unwrap();
    layer
}

/// Asserts the counting identities, and returns the counts.
fn counts(handle: &CanaryHandle) -> Counts {
    let counts = handle.counts().total();
    for channel in Channel::ALL {
        for counts in [&counts.evidence[channel], &counts.excluded[channel]] {
            assert_eq!(counts.picked, counts.ended() + counts.in_flight());
        }
    }
    let canary = counts.total(Channel::Canary);
    assert_eq!(counts.excluded.stable.reasons[AssignmentReason::FellBack], canary.fell_back);
    assert!(canary.fell_back <= canary.failure);
    counts
}

fn fell_back(handle: &CanaryHandle) -> u64 {
    counts(handle).evidence.canary.fell_back
}

fn channel_of<B>(response: &Response<B>) -> &str {
    response.headers()["x-canary-channel"].to_str().unwrap()
}

fn request(method: Method, body: Body) -> Request<Body> {
    Request::builder().method(method).uri("/things/7?q=1").header("x-a", "b").body(body).unwrap()
}

fn get() -> Request<Body> {
    request(Method::GET, empty())
}

fn empty() -> Body {
    Empty::new().map_err(|error| match error {}).boxed_unsync()
}

/// A body of these frames, whose length is not known beforehand.
fn frames(frames: impl IntoIterator<Item = Frame<Bytes>, IntoIter: Send + 'static>) -> Body {
    let frames = futures_util::stream::iter(frames.into_iter().map(Ok::<_, BoxError>));
    http_body_util::StreamBody::new(frames).boxed_unsync()
}

fn data(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from(text))
}

#[tokio::test]
async fn stable_repeats_what_the_canary_failed_before_it_answered() {
    for end in [
        End::Answer(StatusCode::INTERNAL_SERVER_ERROR),
        End::Answer(StatusCode::SERVICE_UNAVAILABLE),
        End::Error,
        End::Panic,
        End::PanicInCall,
    ] {
        let stable = Stable::default();
        let layer = layer_of(Sick { reads: 0, end }, boxed());
        let handle = layer.handle();
        let heard = Arc::new(AtomicBool::new(false));
        handle.on_canary_failure({
            let heard = Arc::clone(&heard);
            move |_, _| heard.store(true, Ordering::Relaxed)
        });
        let response = layer.layer(stable.clone()).oneshot(get()).await.unwrap();
        assert_eq!(channel_of(&response), "stable");
        assert_eq!(response.status(), StatusCode::OK, "{end:?}");
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "stable's");
        assert!(heard.load(Ordering::Relaxed));

        let [seen] = &stable.seen()[..] else { panic!("stable is called once") };
        assert_eq!(seen.head.uri, "/things/7?q=1");
        assert_eq!(seen.head.headers.len(), 1);
        let assignment: &Assignment = seen.head.extensions.get().unwrap();
        assert_eq!(
            (assignment.channel(), assignment.reason()),
            (Channel::Stable, AssignmentReason::FellBack)
        );

        let counts = counts(&handle);
        let canary = &counts.evidence.canary;
        assert_eq!([canary.picked, canary.failure, canary.fell_back], [1; 3]);
        let panics = matches!(end, End::Panic | End::PanicInCall);
        assert_eq!(canary.panicked, u64::from(panics));
        let stable = &counts.excluded.stable;
        assert_eq!([stable.picked, stable.success, counts.evidence.stable.picked], [1, 1, 0]);
    }
}

#[tokio::test]
async fn answers_that_are_no_failure_are_the_canarys() {
    for status in [StatusCode::OK, StatusCode::NOT_FOUND, StatusCode::TOO_MANY_REQUESTS] {
        let layer = layer_of(Sick { reads: 0, end: End::Answer(status) }, boxed());
        let response = layer.layer(Stable::default()).oneshot(get()).await.unwrap();
        assert_eq!((channel_of(&response), response.status()), ("canary", status));
        assert_eq!(fell_back(&layer.handle()), 0);
    }
}

#[tokio::test]
async fn only_idempotent_methods_are_repeated_unless_a_predicate_says_otherwise() {
    let sick = Sick { reads: 0, end: End::Panic };
    for method in ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"] {
        let layer = layer_of(sick, boxed());
        let request = request(method.parse().unwrap(), empty());
        let response = layer.layer(Stable::default()).oneshot(request).await.unwrap();
        assert_eq!(channel_of(&response), "stable", "{method}");
    }
    for method in ["POST", "PATCH", "CONNECT", "BREW"] {
        let layer = layer_of(sick, boxed());
        let request = request(method.parse().unwrap(), empty());
        let response = layer.layer(Stable::default()).oneshot(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{method}");
        assert_eq!(fell_back(&layer.handle()), 0);
    }
    let posts = || boxed().only(Condition::method(Method::POST));
    for (method, channel) in [(Method::POST, "stable"), (Method::GET, "canary")] {
        let layer = layer_of(sick, posts());
        let request = request(method, empty());
        let response = layer.layer(Stable::default()).oneshot(request).await.unwrap();
        assert_eq!(channel_of(&response), channel);
    }
}

#[tokio::test]
async fn upgrades_are_not_repeated_whatever_the_predicate_says() {
    for (method, upgrade) in [(Method::GET, true), (Method::CONNECT, false)] {
        let layer = layer_of(Sick { reads: 0, end: End::Panic }, boxed().only(Condition::any()));
        let mut request = request(method, empty());
        if upgrade {
            request.headers_mut().insert("upgrade", "websocket".parse().unwrap());
        }
        let response = layer.layer(Stable::default()).oneshot(request).await.unwrap();
        assert_eq!(channel_of(&response), "canary");
    }
}

#[tokio::test]
async fn nothing_is_repeated_at_full_weight_where_stable_may_be_gone() {
    let layer = layer_of(Sick { reads: 0, end: End::Panic }, boxed());
    layer.handle().promote().unwrap();
    let response = layer.layer(Stable::default()).oneshot(get()).await.unwrap();
    assert_eq!(channel_of(&response), "canary");
}

#[tokio::test]
async fn a_grpc_status_in_the_head_is_repeated_where_the_predicate_allows() {
    for (code, channel) in [("13", "stable"), ("14", "stable"), ("5", "canary"), ("0", "canary")] {
        let fallback = boxed().only(Condition::path("/things/7"));
        let layer = layer_of(Sick { reads: 1, end: End::GrpcStatus(code) }, fallback);
        let mut request = request(Method::POST, frames([data("message")]));
        request.headers_mut().insert("content-type", "application/grpc".parse().unwrap());
        let response = layer.layer(Stable::default()).oneshot(request).await.unwrap();
        assert_eq!(channel_of(&response), channel, "{code}");
    }
}

#[tokio::test]
async fn stable_reads_the_whole_body_however_much_of_it_the_canary_read() {
    let trailers: HeaderMap =
        [("x-sum".parse().unwrap(), "6".parse().unwrap())].into_iter().collect();
    for reads in 0..=6 {
        let stable = Stable::default();
        let layer = layer_of(Sick { reads, end: End::Panic }, boxed());
        let body =
            frames([data("one "), data("two "), data("three"), Frame::trailers(trailers.clone())]);
        let service = layer.layer(stable.clone());
        let response = service.oneshot(request(Method::PUT, body)).await.unwrap();
        assert_eq!(channel_of(&response), "stable", "{reads}");
        let seen = stable.seen().remove(0);
        assert_eq!(seen.body, "one two three", "{reads}");
        assert_eq!(seen.trailers.as_ref(), Some(&trailers), "{reads}");
    }
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_the_canarys_alone() {
    for (bound, channel) in [(9, "canary"), (10, "stable")] {
        for known in [false, true] {
            let fallback = boxed().max_body(bound);
            let layer = layer_of(Sick { reads: 2, end: End::Panic }, fallback);
            let body = match known {
                true => Full::from("tenletters").map_err(|error| match error {}).boxed_unsync(),
                false => frames([data("ten"), data("letters")]),
            };
            let service = layer.layer(Stable::default());
            let response = service.oneshot(request(Method::PUT, body)).await.unwrap();
            assert_eq!(channel_of(&response), channel, "{bound} {known}");
        }
    }
}

#[tokio::test]
async fn a_canary_reads_the_body_as_it_is_beyond_the_bound_too() {
    let canary = service_fn(|request: Request<Body>| async move {
        let body = request.into_body();
        let hint = (body.size_hint().exact(), body.is_end_stream());
        let bytes = body.collect().await?.to_bytes();
        Ok::<_, BoxError>(Response::new(Full::from(format!("{hint:?} {}", bytes.len()))))
    });
    for (body, expected) in [
        (empty(), "(Some(0), true) 0"),
        (Full::from("abc").map_err(|error| match error {}).boxed_unsync(), "(Some(3), false) 3"),
        (frames((0..100).map(|_| data("0123456789"))), "(None, false) 1000"),
    ] {
        let layer = layer_of(canary, boxed().max_body(64));
        let service = layer.layer(Stable::default());
        let response = service.oneshot(request(Method::PUT, body)).await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), expected);
    }
}

#[tokio::test]
async fn the_repetition_knows_its_length_if_the_original_did() {
    let hints = Arc::new(Mutex::new(Vec::new()));
    let stable = service_fn({
        let hints = Arc::clone(&hints);
        move |request: Request<Body>| {
            let body = request.body();
            hints.lock().unwrap().push((body.size_hint().exact(), body.is_end_stream()));
            std::future::ready(Ok::<_, BoxError>(Response::new(Full::<Bytes>::default())))
        }
    });
    for reads in [0, 1, 2] {
        let layer = layer_of(Sick { reads, end: End::Panic }, boxed());
        let body = Full::from("abc").map_err(|error| match error {}).boxed_unsync();
        let service = layer.layer(stable.clone());
        assert!(service.oneshot(request(Method::PUT, body)).await.is_ok());
    }
    assert_eq!(*hints.lock().unwrap(), [(Some(3), false); 3]);
}

/// A body that breaks after its first frame.
struct Broken(bool);

impl http_body::Body for Broken {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Poll::Ready(Some(match std::mem::replace(&mut self.0, true) {
            false => Ok(data("half of it")),
            true => Err("the client is gone".into()),
        }))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

#[tokio::test]
async fn a_request_that_broke_off_is_not_repeated() {
    let layer = layer_of(Sick { reads: 2, end: End::Panic }, boxed());
    let body = Broken(false).boxed_unsync();
    let service = layer.layer(Stable::default());
    let response = service.oneshot(request(Method::PUT, body)).await.unwrap();
    assert_eq!(channel_of(&response), "canary");
}

#[tokio::test]
async fn nothing_is_repeated_or_kept_once_the_head_went_out() {
    let (sender, receiver) = mpsc::unbounded_channel();
    // The canary goes on reading the request while its response is under way.
    let canary = service_fn(move |request: Request<Body>| {
        sender.send(request.into_body()).unwrap();
        std::future::ready(Ok::<_, BoxError>(Response::new(Full::from("canary's"))))
    });
    let layer = layer_of(canary, boxed());
    let body = frames((0..3).map(|_| data("0123456789")));
    let service = layer.layer(Stable::default());
    let response = service.oneshot(request(Method::PUT, body)).await.unwrap();
    assert_eq!(channel_of(&response), "canary");
    drop(response);
    assert_eq!(fell_back(&layer.handle()), 0);
    let mut receiver = receiver;
    let body = receiver.recv().await.unwrap();
    assert_eq!(body.collect().await.unwrap().to_bytes().len(), 30);
}

#[tokio::test]
async fn the_body_is_taken_from_a_task_that_the_canary_left_behind() {
    let (sender, mut tasks) = mpsc::unbounded_channel();
    let canary = service_fn(move |request: Request<Body>| {
        sender.send(tokio::spawn(request.into_body().collect())).unwrap();
        async {
            tokio::task::yield_now().await;
            Err::<Response<Full<Bytes>>, BoxError>("the canary fails".into())
        }
    });
    let (frame_sender, frames) = futures_channel();
    let body = http_body_util::StreamBody::new(frames).boxed_unsync();
    let stable = Stable::default();
    let layer = layer_of(canary, boxed());
    let call = layer.layer(stable.clone()).oneshot(request(Method::PUT, body));
    frame_sender.send("one ");
    let call = tokio::spawn(call);
    let left_behind = tasks.recv().await.unwrap();
    // It does not wait for ever, and takes nothing of what is stable's.
    let error = left_behind.await.unwrap().unwrap_err();
    assert_eq!(error.to_string(), "stable took the call over from the canary");
    frame_sender.send("two");
    drop(frame_sender);
    assert_eq!(channel_of(&call.await.unwrap().unwrap()), "stable");
    assert_eq!(stable.seen()[0].body, "one two");
}

struct FrameSender(mpsc::UnboundedSender<&'static str>);

impl FrameSender {
    fn send(&self, text: &'static str) {
        self.0.send(text).unwrap();
    }
}

fn futures_channel()
-> (FrameSender, impl futures_util::Stream<Item = Result<Frame<Bytes>, BoxError>> + Send) {
    let (sender, mut receiver) = mpsc::unbounded_channel();
    let frames = futures_util::stream::poll_fn(move |cx| {
        receiver.poll_recv(cx).map(|text| text.map(|text| Ok(data(text))))
    });
    (FrameSender(sender), frames)
}

#[tokio::test]
async fn a_failure_of_the_repetition_is_stables() {
    let failing = service_fn(|_: Request<Body>| async {
        Err::<Response<Full<Bytes>>, BoxError>("stable fails".into())
    });
    let layer = layer_of(Sick { reads: 0, end: End::Error }, boxed());
    let error = layer.layer(failing).oneshot(get()).await.unwrap_err();
    assert_eq!(error.to_string(), "stable fails");
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.failure, counts.evidence.canary.fell_back], [1, 1]);
    assert_eq!([counts.excluded.stable.failure, counts.excluded.stable.in_flight()], [1, 0]);
}

#[test]
fn no_permit_of_stable_is_held_while_the_canary_works_and_the_repetition_waits_for_one() {
    let layer = layer_of(Sick { reads: 1, end: End::Panic }, boxed());
    let handle = layer.handle();
    let (sender, body) = futures_channel();
    let body = http_body_util::StreamBody::new(body).boxed_unsync();
    let mut limited = ConcurrencyLimit::new(Stable::default(), 1);
    let mut service = layer.layer(limited.clone());
    let mut cx = Context::from_waker(Waker::noop());
    assert!(service.poll_ready(&mut cx).is_ready());
    let mut call = task::spawn(service.call(request(Method::PUT, body)));
    assert_pending!(call.poll());

    // The canary has the call, somebody else stable's only permit.
    assert!(limited.poll_ready(&mut cx).is_ready());
    sender.send("all of it");
    drop(sender);
    assert_pending!(call.poll());
    let counts_now = counts(&handle);
    assert_eq!(
        [counts_now.evidence.canary.fell_back, counts_now.excluded.stable.in_flight()],
        [1, 1]
    );
    drop(limited);
    assert!(call.is_woken());
    assert_eq!(channel_of(&assert_ready_ok!(call.poll())), "stable");
}

#[test]
fn a_caller_who_leaves_during_the_repetition_cancels_stables_call() {
    let layer = layer_of(Sick { reads: 0, end: End::Error }, boxed());
    let hanging = service_fn(|_: Request<Body>| {
        std::future::pending::<Result<Response<Full<Bytes>>, BoxError>>()
    });
    let mut call = task::spawn(layer.layer(hanging).oneshot(get()));
    assert_pending!(call.poll());
    assert_eq!(layer.handle().open(Channel::Stable), 1);
    drop(call);
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.failure, counts.evidence.canary.cancelled], [1, 0]);
    assert_eq!([counts.excluded.stable.cancelled, counts.excluded.stable.in_flight()], [1, 0]);
}

#[tokio::test]
async fn a_canary_that_is_not_ready_spills_and_does_not_fall_back() {
    let canary = ConcurrencyLimit::new(Sick { reads: 0, end: End::Hang }, 1);
    let layer = layer_of(canary, boxed());
    let service = layer.layer(Stable::default());
    let mut hanging = task::spawn(service.clone().oneshot(get()));
    assert_pending!(hanging.poll());
    assert_eq!(channel_of(&service.oneshot(get()).await.unwrap()), "stable");
    let counts = counts(&layer.handle());
    assert_eq!([counts.evidence.canary.spilled, counts.evidence.canary.fell_back], [1, 0]);
}

#[tokio::test]
async fn bodies_that_can_be_cloned_need_no_wrapping() {
    let canary = service_fn(|_: Request<&'static str>| async {
        Err::<Response<Full<Bytes>>, BoxError>("the canary fails".into())
    });
    let stable = service_fn(|request: Request<&'static str>| {
        std::future::ready(Ok::<_, BoxError>(Response::new(Full::<Bytes>::from(
            request.into_body(),
        ))))
    });
    let layer = layer_of(canary, Fallback::of_clones::<&'static str>());
    let response = layer.layer(stable).oneshot(Request::new("text")).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "text");
}

#[tokio::test]
#[should_panic(
    expected = "the fallback of canary sick is for request bodies of type alloc::string::\
                           String, and the request has a http_body_util::combinators"
)]
async fn a_fallback_for_another_body_is_refused_at_the_first_call_at_weight_zero_too() {
    let layer = layer_of(Sick { reads: 0, end: End::Hang }, Fallback::of_clones::<String>());
    layer.handle().roll_back();
    let _ = layer.layer(Stable::default()).oneshot(get()).await;
}

#[cfg(feature = "tokio")]
#[tokio::test(start_paused = true)]
async fn a_canary_that_runs_into_its_limit_is_repeated_with_stables_whole_limit() {
    use std::time::Duration;

    let options = CanaryOptions::new()
        .fallback(boxed())
        .time_limit(Channel::Canary, Duration::from_secs(1))
        .time_limit(Channel::Stable, Duration::from_secs(3));
    let layer = layer_with(Sick { reads: 1, end: End::Hang }, options);
    let stable = service_fn(|request: Request<Body>| async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        Ok::<_, BoxError>(Response::new(Full::from(
            request.into_body().collect().await?.to_bytes(),
        )))
    });
    let request = request(Method::PUT, frames([data("body")]));
    let response = layer.layer(stable).oneshot(request).await.unwrap();
    assert_eq!(channel_of(&response), "stable");
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "body");
    let canary = counts(&layer.handle()).evidence.canary;
    assert_eq!([canary.failure, canary.timed_out, canary.fell_back], [1; 3]);
}
