//! The time that callers need to send their requests is neither latency nor the service's timeout.

use std::{convert::Infallible, io, panic::resume_unwind, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    http::{Method, Response, StatusCode},
    routing::{any, post},
};
use futures_util::{FutureExt, StreamExt, future::join3, stream};
use http_body::{Body as _, Frame};
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    sync::mpsc,
    time::{Instant, advance, sleep, timeout},
};
use tokio_test::{assert_pending, task};
use tower::ServiceExt;
use tower_canary::{
    CanaryHandle, CanaryLayer, CanaryOptions, Channel, Fallback, select::Condition,
};

use crate::support::{ALMOST_ALL, SHORTEST_DEADLINE, counts, one_key, wait_for_deadline};

const LIMIT: Duration = Duration::from_secs(2);

/// The caller's end of a request body.
type Upload = mpsc::Sender<Result<Frame<Bytes>, Infallible>>;

fn upload() -> (Upload, Body) {
    let (sender, receiver) = mpsc::channel(1);
    let frames = stream::unfold(receiver, async |mut receiver: mpsc::Receiver<_>| {
        receiver.recv().await.map(|frame| (frame, receiver))
    });
    (sender, Body::new(StreamBody::new(Box::pin(frames))))
}

async fn send(upload: &Upload) {
    upload.send(Ok(Frame::data(Bytes::from_static(b"part")))).await.unwrap();
}

fn request(body: Body) -> Request {
    Request::post("/").body(body).unwrap()
}

/// Reads the request, and works for a second.
async fn store(request: Request) -> StatusCode {
    to_bytes(request.into_body(), usize::MAX).await.unwrap();
    sleep(Duration::from_secs(1)).await;
    StatusCode::CREATED
}

/// Reads the request in another task.
async fn store_in_task(request: Request) -> StatusCode {
    tokio::spawn(store(request)).await.unwrap()
}

fn limited() -> CanaryOptions {
    CanaryOptions::new().time_limit(Channel::Canary, LIMIT).time_limit(Channel::Stable, LIMIT)
}

/// Mounts a canary at full weight.
fn promoted(options: CanaryOptions, canary: Router) -> (Router, CanaryHandle) {
    let layer = CanaryLayer::with_options("uploads", canary.clone(), options);
    let handle = layer.handle();
    handle.promote().unwrap();
    (canary.layer(layer), handle)
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_stands_still_while_the_service_waits_for_the_request() {
    for route in [post(store), post(store_in_task)] {
        let (app, handle) = promoted(limited(), Router::new().route("/", route));
        let (upload, body) = upload();
        let call = tokio::spawn(app.oneshot(request(body)));
        for _ in 0..3 {
            sleep(2 * LIMIT).await;
            send(&upload).await;
        }
        sleep(LIMIT / 2).await;
        drop(upload);
        assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::CREATED);
        let canary = counts(&handle).evidence.canary;
        assert_eq!([canary.success, canary.timed_out], [1, 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_includes_all_other_time() {
    async fn reads_and_hangs(request: Request) {
        to_bytes(request.into_body(), usize::MAX).await.unwrap();
        std::future::pending().await
    }
    async fn hangs(_: Request) {
        std::future::pending().await
    }
    async fn stops_waiting(request: Request) {
        // Keeps the body, and does not read the part that arrives later.
        let mut body = request.into_body();
        let frame = body.frame();
        timeout(LIMIT / 2, frame).await.unwrap_err();
        std::future::pending().await
    }
    let start = Instant::now();
    for (name, route, is_sent) in [
        ("after the body", post(reads_and_hangs), true),
        ("without reading", post(hangs), false),
        ("without reading any longer", post(stops_waiting), true),
    ] {
        let (app, handle) = promoted(limited(), Router::new().route("/", route));
        let (upload, body) = upload();
        let called = Instant::now();
        let call = tokio::spawn(app.oneshot(request(body)));
        let upload = if is_sent {
            sleep(5 * LIMIT).await;
            send(&upload).await;
            drop(upload);
            None
        } else {
            Some(upload)
        };
        let response = call.await.unwrap().unwrap();
        drop(upload);
        assert_eq!(response.status(), StatusCode::GATEWAY_TIMEOUT, "{name}");
        let waited = if is_sent { 5 * LIMIT } else { Duration::ZERO };
        let error = called.elapsed().abs_diff(waited + LIMIT);
        assert!(error < Duration::from_millis(20), "{name}: {:?}", start.elapsed());
        assert_eq!(counts(&handle).evidence.canary.timed_out, 1, "{name}");
    }
}

#[tokio::test]
async fn the_time_in_which_the_request_arrives_is_no_latency() {
    // Longer than a busy machine may keep the test waiting.
    const SLOW: Duration = Duration::from_secs(2);
    async fn read(request: Request) {
        to_bytes(request.into_body(), usize::MAX).await.unwrap();
    }
    async fn read_after(request: Request) {
        sleep(SLOW).await;
        read(request).await;
    }
    async fn read_in_task(request: Request) {
        tokio::spawn(read(request)).await.unwrap();
    }
    let slowest = async |route| {
        let (app, handle) = promoted(CanaryOptions::new(), Router::new().route("/", route));
        let (upload, body) = upload();
        let call = tokio::spawn(app.oneshot(request(body)));
        sleep(SLOW).await;
        send(&upload).await;
        sleep(SLOW).await;
        drop(upload);
        call.await.unwrap().unwrap();
        let canary = counts(&handle).evidence.canary;
        [canary.head, canary.end].map(|it| it.quantile(1.0).unwrap().lower_edge())
    };
    let (plain, in_task, late) =
        join3(slowest(post(read)), slowest(post(read_in_task)), slowest(post(read_after))).await;
    for (slowest, is_slow) in [(plain, false), (in_task, false), (late, true)] {
        assert!(slowest.iter().all(|it| (*it >= SLOW * 3 / 4) == is_slow), "{slowest:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_408_is_the_callers_only_while_the_service_waits_for_the_request() {
    async fn read(request: Request) -> StatusCode {
        match timeout(LIMIT, to_bytes(request.into_body(), usize::MAX)).await {
            Ok(_) => StatusCode::OK,
            Err(_) => StatusCode::REQUEST_TIMEOUT,
        }
    }
    async fn works_after_reading(request: Request) -> StatusCode {
        to_bytes(request.into_body(), usize::MAX).await.unwrap();
        sleep(LIMIT).await;
        StatusCode::REQUEST_TIMEOUT
    }
    async fn works_without_reading(request: Request) -> StatusCode {
        sleep(LIMIT).await;
        drop(request);
        StatusCode::REQUEST_TIMEOUT
    }
    for (name, route, is_complete, failures) in [
        ("the body is late", post(read), false, 0),
        ("the body has arrived", post(works_after_reading), true, 1),
        ("the body is not read", post(works_without_reading), false, 1),
    ] {
        let (app, handle) = promoted(CanaryOptions::new(), Router::new().route("/", route));
        let (upload, body) = upload();
        let call = tokio::spawn(app.oneshot(request(body)));
        send(&upload).await;
        let upload = (!is_complete).then_some(upload);
        assert_eq!(call.await.unwrap().unwrap().status(), StatusCode::REQUEST_TIMEOUT, "{name}");
        drop(upload);
        let canary = counts(&handle).evidence.canary;
        assert_eq!([canary.failure, canary.client_made], [failures, 1 - failures], "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_withholds_its_request_misses_no_deadline() {
    let (app, handle) = promoted(CanaryOptions::new(), Router::new().route("/", post(store)));
    let (upload, body) = upload();
    let mut request = request(body);
    let headers = request.headers_mut();
    headers.insert("content-type", "application/grpc".parse().unwrap());
    headers.insert("grpc-timeout", "10m".parse().unwrap());
    let mut call = task::spawn(app.oneshot(request));
    assert_pending!(call.poll());
    advance(Duration::from_secs(60)).await;
    wait_for_deadline(SHORTEST_DEADLINE);
    drop((call, upload));
    let canary = counts(&handle).evidence.canary;
    assert_eq!([canary.failure, canary.cancelled], [0, 1]);
}

#[tokio::test]
async fn errors_and_hints_of_a_request_body_pass_unchanged() {
    let echo = post(async |request: Request| Response::new(request.into_body()));
    let (app, _) = promoted(CanaryOptions::new(), Router::new().route("/", echo));
    let response = app.clone().oneshot(request("text".into())).await.unwrap();
    let body = response.into_body();
    assert_eq!(body.size_hint().exact(), Some(4));
    assert_eq!(to_bytes(body, 9).await.unwrap(), "text");

    // The extractors of axum look for this type of error at a fixed depth.
    let limited = http_body_util::Limited::new(Body::from("too long"), 3);
    let read = post(async |body: Bytes| body);
    let (app, _) = promoted(CanaryOptions::new(), Router::new().route("/", read));
    let response = app.oneshot(request(Body::new(limited))).now_or_never().unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
}

#[tokio::test]
async fn a_caller_that_breaks_off_its_upload_after_it_saw_its_channel_is_counted_separately() {
    fn lost() -> Body {
        Body::from_stream(stream::iter([Err::<Bytes, _>(io::Error::other("lost"))]))
    }
    let passes_on = post(async |request: Request| request.into_body());
    let panics = post(async |request: Request| {
        let chunks = request.into_body().into_data_stream();
        Body::from_stream(chunks.map(|chunk| chunk.map_err(|error| resume_unwind(Box::new(error)))))
    });
    for (name, route) in [("an error", passes_on), ("a panic", panics)] {
        let (app, handle) = promoted(CanaryOptions::new(), Router::new().route("/", route));
        let response = app.oneshot(request(lost())).await.unwrap();
        to_bytes(response.into_body(), usize::MAX).await.unwrap_err();
        let canary = counts(&handle).evidence.canary;
        assert_eq!([canary.failure, canary.panicked], [0, 0], "{name}");
        assert_eq!([canary.cancelled, canary.cancelled_after_tag], [1, 1], "{name}");
    }
}

#[tokio::test]
async fn a_grpc_request_without_a_body_shows_its_end_at_the_first_poll() {
    let service = |reads: bool, grpc_status: &'static str| {
        let respond = any(async move |request: Request| {
            let mut body = request.into_body();
            if reads {
                assert!(body.frame().await.is_none());
                let is_known_to_be_empty = body.size_hint().exact() == Some(0);
                assert_eq!(body.is_end_stream(), is_known_to_be_empty);
            }
            [("content-type", "application/grpc"), ("grpc-status", grpc_status)]
        });
        Router::new().route("/", respond)
    };
    let ends_with_head = || (Method::GET, Body::empty());
    let ends_without_message = || (Method::POST, upload().1);
    let fallback = || Fallback::axum().only(Condition::path("/"));
    for (name, fallback, canary, [success, fell_back]) in [
        ("bare", None, service(true, "0"), [1, 0]),
        ("with a fallback", Some(fallback()), service(true, "0"), [1, 0]),
        ("repeated after it was read", Some(fallback()), service(true, "13"), [0, 1]),
        ("repeated before it was read", Some(fallback()), service(false, "13"), [0, 1]),
    ] {
        let options = CanaryOptions::new().select(one_key);
        let options = fallback.into_iter().fold(options, CanaryOptions::fallback);
        let layer = CanaryLayer::with_options("empty", canary, options);
        let handle = layer.handle();
        handle.set_weight(ALMOST_ALL).unwrap();
        let app = service(true, "0").layer(layer);
        for (method, body) in [ends_with_head(), ends_without_message()] {
            let request = Request::builder().method(method);
            let request = request.header("content-type", "application/grpc").body(body).unwrap();
            let response = app.clone().oneshot(request).await.unwrap();
            assert_eq!(response.headers()["grpc-status"], "0", "{name}");
        }
        let canary = counts(&handle).evidence.canary;
        let counted = [canary.success, canary.fell_back, canary.panicked];
        assert_eq!(counted, [2 * success, 2 * fell_back, 0], "{name}");
    }
}
