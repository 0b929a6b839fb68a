//! Bodies are captured while they stream, without delay.

use std::{
    convert::Infallible,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    http::{HeaderMap, HeaderValue, StatusCode},
    response::Response,
    routing::get as on_get,
};
use canary_tests::{Client, connect_http2, timeout::complete};
use futures_util::StreamExt;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tower_canary::select::Condition;
use tower_canary_mirror::{DropReason, MirrorOptions};

use crate::app::{App, balanced, get, post};

type Frames = mpsc::UnboundedSender<Result<Frame<Bytes>, Infallible>>;

/// Creates a body whose frames the test sends.
fn channel() -> (Frames, Body) {
    let (frames, receiver) = mpsc::unbounded_channel();
    (frames, Body::new(StreamBody::new(UnboundedReceiverStream::new(receiver))))
}

fn data(text: &'static str) -> Result<Frame<Bytes>, Infallible> {
    Ok(Frame::data(Bytes::from_static(text.as_bytes())))
}

fn every_method() -> MirrorOptions {
    MirrorOptions::new().only(Condition::any())
}

/// Responds with the frames and trailers of the request.
fn echo() -> Router {
    Router::new().fallback(async |request: Request| Response::new(request.into_body()))
}

/// Responds with the length of the request body and its trailers.
fn digest() -> Router {
    Router::new().fallback(async |request: Request| {
        let body = request.into_body().collect().await.unwrap();
        let trailers = body.trailers().cloned();
        format!("{} {trailers:?}", body.to_bytes().len())
    })
}

#[tokio::test]
async fn stable_gets_each_chunk_immediately_and_the_canary_gets_all_of_them() {
    let app = App::start_with(echo(), echo(), every_method());
    let (mut sender, _connection) = connect_http2(&app.server).await;
    let (frames, body) = channel();
    let request = Request::post(format!("http://{}/", app.server.address())).body(body).unwrap();
    let response = sender.send_request(request);
    frames.send(data("one")).unwrap();
    let mut response = complete(response).await.unwrap().into_body();
    assert_eq!(complete(response.frame()).await.unwrap().unwrap().into_data().unwrap(), "one");
    frames.send(data("two")).unwrap();
    assert_eq!(complete(response.frame()).await.unwrap().unwrap().into_data().unwrap(), "two");
    assert_eq!(balanced(&app.mirror).in_flight(), 1);
    let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from(6))]);
    frames.send(Ok(Frame::trailers(trailers.clone()))).unwrap();
    let rest = complete(response.collect()).await.unwrap();
    assert_eq!(rest.trailers(), Some(&trailers));
    let counts = app.settled().await;
    assert_eq!(
        (counts.mirrored, counts.matched),
        (1, 1),
        "{counts:?} {:?}",
        app.mirror.differences()
    );
}

#[tokio::test]
async fn a_mirrored_request_has_the_body_and_the_trailers_of_the_original() {
    for (version, send_trailers) in [("HTTP/1", false), ("HTTP/2", true)] {
        let app = App::start_with(digest(), digest(), every_method());
        let client = if send_trailers { Client::http2(&app.server) } else { app.client.clone() };
        let (frames, body) = channel();
        frames.send(data("one")).unwrap();
        frames.send(data("two")).unwrap();
        if send_trailers {
            let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), HeaderValue::from(6))]);
            frames.send(Ok(Frame::trailers(trailers))).unwrap();
        }
        drop(frames);
        let response = client.ask(post("/", body)).await;
        assert!(response.body.starts_with("6 "), "{version}: {}", response.body);
        assert_eq!(response.body.contains("x-sum"), send_trailers, "{version}: {}", response.body);
        let counts = app.settled().await;
        assert_eq!((counts.mirrored, counts.matched), (1, 1), "{version}: {counts:?}");
    }
}

#[tokio::test]
async fn a_request_above_the_limit_is_dropped_and_stable_gets_all_of_it() {
    for (size, dropped) in [(1000, 0), (1001, 1), (3_000_000, 1)] {
        let app = App::start_with(digest(), digest(), every_method().request_limit(1000));
        for client in [&app.client, &Client::http2(&app.server)] {
            let response = client.ask(post("/", "x".repeat(size))).await;
            assert_eq!(response.body, format!("{size} None"));
        }
        let counts = app.settled().await;
        assert_eq!(counts.dropped[DropReason::RequestTooLarge], 2 * dropped, "{size}: {counts:?}");
        assert_eq!(counts.matched, 2 * (1 - dropped), "{size}: {counts:?}");
    }
}

#[tokio::test]
async fn a_request_that_stable_does_not_read_is_dropped() {
    let unread = || Router::new().fallback(async || "unread");
    let app = App::start_with(unread(), unread(), every_method());
    assert_eq!(app.client.ask(post("/", "x".repeat(100_000))).await.body, "unread");
    let counts = app.settled().await;
    assert_eq!(counts.dropped[DropReason::RequestIncomplete], 1, "{counts:?}");
}

/// A body that never ends. The server does not poll it.
struct EndlessBody;

impl http_body::Body for EndlessBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Pending
    }
}

/// Each response ends in a different way.
#[tokio::test]
async fn every_kind_of_response_is_captured_to_its_end() {
    let chunks = || tokio_stream::iter(["a", "b"].map(Ok::<_, Infallible>));
    let version = || {
        Router::new()
            .route("/length", on_get(async || "with a length"))
            .route("/chunks", on_get(async move || Body::from_stream(chunks())))
            .route("/empty", on_get(async || ()))
            .route("/204", on_get(async || StatusCode::NO_CONTENT))
            .route("/unsent", on_get(async || (StatusCode::NOT_MODIFIED, Body::new(EndlessBody))))
    };
    let app = App::start(version(), version());
    // Over HTTP/2 this response would never end.
    app.client.get("/unsent").await;
    for client in [&app.client, &Client::http2(&app.server)] {
        for path in ["/length", "/chunks", "/empty", "/204", "/none"] {
            for method in ["GET", "HEAD"] {
                let request = Request::builder().method(method).uri(path);
                client.ask(request.body(Body::empty()).unwrap()).await;
            }
        }
    }
    let counts = app.settled().await;
    assert_eq!(
        (counts.mirrored, counts.matched),
        (21, 21),
        "{counts:?} {:?}",
        app.mirror.differences()
    );
}

#[tokio::test]
async fn the_caller_gets_each_chunk_of_the_response_immediately() {
    let (frames, body) = channel();
    let body = Arc::new(std::sync::Mutex::new(Some(body)));
    let stream = async move || Response::new(body.lock().unwrap().take().unwrap());
    let app = App::start(
        Router::new().fallback(stream),
        Router::new().fallback(async || Body::from_stream(chunks(&["one", "two"]))),
    );
    frames.send(data("one")).unwrap();
    let mut response = complete(app.client.send(get("/"))).await.unwrap().into_body();
    assert_eq!(complete(response.frame()).await.unwrap().unwrap().into_data().unwrap(), "one");
    frames.send(data("two")).unwrap();
    assert_eq!(complete(response.frame()).await.unwrap().unwrap().into_data().unwrap(), "two");
    assert_eq!(balanced(&app.mirror).in_flight(), 1);
    drop(frames);
    assert!(complete(response.frame()).await.is_none());
    let counts = app.settled().await;
    assert_eq!((counts.mirrored, counts.matched), (1, 1), "{counts:?}");
}

fn chunks(
    texts: &'static [&'static str],
) -> Pin<Box<dyn futures_util::Stream<Item = Result<&'static str, Infallible>> + Send>> {
    tokio_stream::iter(texts.iter().copied().map(Ok)).boxed()
}

#[tokio::test]
async fn all_mirrored_requests_together_stay_within_the_memory_limit() {
    const LIMIT: usize = 100_000;
    let options = every_method()
        .memory_limit(LIMIT)
        .request_limit(40_000)
        .response_limit(40_000)
        .queue_limit(100);
    let app = App::start_with(echo(), echo(), options);
    let mut feeds = Vec::new();
    let mut calls = Vec::new();
    let (mut sender, _connection) = connect_http2(&app.server).await;
    for _ in 0..20 {
        let (frames, body) = channel();
        let request =
            Request::post(format!("http://{}/", app.server.address())).body(body).unwrap();
        calls.push(complete(sender.send_request(request)).await.unwrap());
        frames.send(Ok(Frame::data(Bytes::from(vec![b'x'; 20_000])))).unwrap();
        feeds.push(frames);
        assert!(app.mirror.memory_used() <= LIMIT);
    }
    drop(feeds);
    for call in calls {
        let body = complete(call.into_body().collect()).await.unwrap();
        assert_eq!(body.to_bytes().len(), 20_000);
        assert!(app.mirror.memory_used() <= LIMIT);
    }
    let counts = app.settled().await;
    assert!(counts.dropped[DropReason::MemoryFull] > 0, "{counts:?}");
    assert_eq!(counts.mirrored, 20);
    assert_eq!(app.mirror.memory_used(), 0);
}
