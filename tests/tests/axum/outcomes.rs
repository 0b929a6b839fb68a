//! What the caller really gets decides the outcome of its call, whatever the status line says.

use std::{convert::Infallible, panic::resume_unwind, time::Duration};

use axum::{
    Router,
    body::{Body, Bytes, to_bytes},
    extract::Request,
    response::Response,
    routing::{any, post},
};
use canary_tests::{Client, Server, broken_upload::broken_upload, final_counts};
use futures_util::{future::join_all, stream};
use http::{Method, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::{sleep, timeout},
};
use tower_canary::{CanaryHandle, CanaryLayer, CanaryOptions, Channel, Weight};

fn promoted(options: CanaryOptions, routes: Router) -> (Server, CanaryHandle) {
    let layer = CanaryLayer::with_options("outcomes", routes.clone(), options);
    let handle = layer.handle();
    handle.set_weight(Weight::FULL).unwrap();
    (Server::of_router(routes.layer(layer)), handle)
}

/// Returns the successes and failures of the canary.
async fn outcomes(handle: &CanaryHandle) -> [u64; 2] {
    let canary = final_counts(handle).await.total(Channel::Canary);
    [canary.success, canary.failure]
}

fn streamed(parts: &'static [&'static str]) -> Body {
    let frames = parts.iter().map(|part| Ok::<_, Infallible>(Frame::data(Bytes::from(*part))));
    Body::new(StreamBody::new(stream::iter(frames)))
}

#[tokio::test]
async fn a_response_that_its_caller_cannot_read_completely_is_a_failure() {
    let respond = async |request: Request| {
        let body = if request.uri().path() == "/empty" {
            Body::empty()
        } else {
            streamed(&["ten ", "bytes."])
        };
        let length = if request.uri().path() == "/exact" { "10" } else { "20" };
        Response::builder().header(header::CONTENT_LENGTH, length).body(body).unwrap()
    };
    let routes = || Router::new().route("/{*path}", any(respond));
    for (path, method, is_complete) in [
        ("/exact", Method::GET, true),
        ("/short", Method::GET, false),
        ("/empty", Method::GET, false),
        ("/short", Method::HEAD, true),
    ] {
        let (server, handle) = promoted(CanaryOptions::new(), routes());
        for (version, client) in Client::of_each_version(&server) {
            let request = Request::builder().method(&method).uri(path).body(Body::empty());
            let read = async {
                let response = client.send(request.unwrap()).await.ok()?;
                response.into_body().collect().await.ok()
            };
            let read = read.await;
            // In HTTP/1, hyper removes the wrong length of an empty body. The caller still does not
            // get what the service announced.
            if path != "/empty" || version == "HTTP/2" {
                assert_eq!(read.is_some(), is_complete, "{version} {method} {path}");
            }
        }
        let expected = if is_complete { [2, 0] } else { [0, 2] };
        assert_eq!(outcomes(&handle).await, expected, "{method} {path}");
    }
}

#[tokio::test]
async fn a_status_that_the_server_replaces_or_that_is_beyond_500_is_a_failure() {
    for (status, seen) in [(103, 500), (600, 600), (999, 999)] {
        let status = StatusCode::from_u16(status).unwrap();
        let routes = Router::new().route("/", any(async move || status));
        let (server, handle) = promoted(CanaryOptions::new(), routes);
        assert_eq!(Client::http1(&server).get("/").await.status, seen);
        assert_eq!(outcomes(&handle).await, [0, 1], "{status}");
    }
}

/// Sends its parts at intervals.
fn slowly(parts: usize, interval: Duration) -> Body {
    let frames = stream::unfold(0, move |sent| async move {
        sleep(interval).await;
        let frame = Frame::data(Bytes::from_static(b"part"));
        (sent < parts).then_some((Ok::<_, Infallible>(frame), sent + 1))
    });
    Body::new(StreamBody::new(Box::pin(frames)))
}

#[tokio::test]
async fn an_upload_may_take_longer_than_the_time_limit() {
    const LIMIT: Duration = Duration::from_secs(3);
    let store = async |request: Request| {
        to_bytes(request.into_body(), usize::MAX).await.unwrap();
        StatusCode::CREATED
    };
    let options = CanaryOptions::new().time_limit(Channel::Canary, LIMIT);
    let (server, handle) = promoted(options, Router::new().route("/", post(store)));
    let uploads = Client::of_each_version(&server).map(async |(version, client)| {
        let request = Request::post("/").body(slowly(3, LIMIT / 3)).unwrap();
        assert_eq!(client.ask(request).await.status, StatusCode::CREATED, "{version}");
    });
    join_all(uploads).await;
    assert_eq!(outcomes(&handle).await, [2, 0]);
    let canary = final_counts(&handle).await.total(Channel::Canary);
    let slowest = canary.head.quantile(1.0).unwrap().lower_edge();
    assert!(slowest < LIMIT, "{slowest:?}");
}

#[tokio::test]
async fn a_408_counts_against_the_service_unless_it_waits_for_the_caller() {
    const LIMIT: Duration = Duration::from_secs(2);
    // The timeout of a service, as `tower_http::timeout` has it.
    let limited = async |request: Request| {
        let works = request.headers().contains_key("x-works");
        let handler = async {
            to_bytes(request.into_body(), usize::MAX).await.unwrap();
            if works {
                sleep(100 * LIMIT).await;
            }
        };
        match timeout(LIMIT, handler).await {
            Ok(()) => StatusCode::OK,
            Err(_) => StatusCode::REQUEST_TIMEOUT,
        }
    };
    let (server, handle) = promoted(CanaryOptions::new(), Router::new().route("/", post(limited)));
    for (_, client) in Client::of_each_version(&server) {
        let request = Request::post("/").header("x-works", "1").body("text".into()).unwrap();
        assert_eq!(client.ask(request).await.status, StatusCode::REQUEST_TIMEOUT);
    }
    assert_eq!(outcomes(&handle).await, [0, 2]);
    let request = Request::post("/").body(slowly(1_000, LIMIT / 3)).unwrap();
    assert_eq!(Client::http2(&server).send(request).await.unwrap().status(), 408);
    let canary = final_counts(&handle).await.total(Channel::Canary);
    assert_eq!([canary.failure, canary.client_made], [2, 1]);
}

#[tokio::test]
async fn an_upload_that_its_caller_breaks_off_is_no_failure() {
    let store = async |request: Request| match to_bytes(request.into_body(), usize::MAX).await {
        Ok(_) => Ok(StatusCode::CREATED),
        Err(error) => Err((StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
    };
    let unwrap = async |request: Request| {
        let body = to_bytes(request.into_body(), usize::MAX).await;
        body.unwrap_or_else(|error| resume_unwind(Box::new(error.to_string())))
    };
    let routes = || Router::new().route("/store", post(store)).route("/unwrap", post(unwrap));
    let layer = CanaryLayer::new("outcomes", routes());
    let handle = layer.handle();
    let server = Server::of_router(routes().layer(layer));
    for (weight, channel) in [(Weight::ZERO, Channel::Stable), (Weight::FULL, Channel::Canary)] {
        handle.set_weight(weight).unwrap();
        // The caller still reads: what the service responds is sent.
        let mut socket = TcpStream::connect(server.address()).await.unwrap();
        let half = b"POST /store HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nhalf";
        socket.write_all(half).await.unwrap();
        socket.shutdown().await.unwrap();
        let mut response = String::new();
        socket.read_to_string(&mut response).await.unwrap();
        assert!(response.is_empty() || response.starts_with("HTTP/1.1 500"), "{response}");

        // The caller closes the connection, or resets the stream.
        for (_, client) in Client::of_each_version(&server) {
            for path in ["/store", "/unwrap"] {
                if (path, channel) == ("/unwrap", Channel::Stable) {
                    continue; // A panic of stable unwinds into the server.
                }
                let body = broken_upload(b"half", &handle, channel);
                client.send(Request::post(path).body(body).unwrap()).await.unwrap_err();
                final_counts(&handle).await;
            }
        }
        let counts = final_counts(&handle).await.total(channel);
        assert_eq!([counts.failure, counts.panicked, counts.success], [0; 3], "{channel}");
        let sent = if channel == Channel::Stable { 3 } else { 5 };
        assert_eq!([counts.cancelled, counts.picked], [sent; 2], "{channel}");
        assert_eq!(counts.cancelled_after_tag, 0, "{channel}");
    }
}

#[tokio::test]
async fn a_failure_before_the_end_of_the_upload_is_one() {
    let refuse = async |_: Request| StatusCode::INTERNAL_SERVER_ERROR;
    let (server, handle) = promoted(CanaryOptions::new(), Router::new().route("/", post(refuse)));
    let body = slowly(1_000, Duration::from_millis(1));
    Client::http2(&server).send(Request::post("/").body(body).unwrap()).await.unwrap();
    assert_eq!(outcomes(&handle).await, [0, 1]);
}
