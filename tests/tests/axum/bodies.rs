//! Complete and broken bodies. Each call ends once, with the right outcome.

use std::{convert::Infallible, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::Request,
    response::Response,
    routing::{get, post},
};
use canary_tests::{Client, Server, assert_counts_add_up, channel_of, connect_http1, final_counts};
use futures_util::stream;
use http::{Method, StatusCode, header};
use http_body_util::BodyExt;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, mpsc},
};
use tower::util::MapResponseLayer;
use tower_canary::{CanaryHandle, CanaryLayer, Channel, Weight, axum::RouterExt};

use crate::mounts::{MOUNTS, Route};

/// Serves the same routes on both channels.
fn split(routes: impl Fn() -> Router) -> (Router, CanaryHandle) {
    let layer = CanaryLayer::new("bodies", routes());
    let handle = layer.handle();
    (routes().layer(layer), handle)
}

fn at(channel: Channel) -> Weight {
    match channel {
        Channel::Stable => Weight::ZERO,
        Channel::Canary => Weight::FULL,
    }
}

fn ask(method: Method, path: &str) -> Request {
    http::Request::builder().method(method).uri(path).body(Body::empty()).unwrap()
}

const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 1600;

/// A body of a hundred megabytes in which adjacent chunks differ.
fn hundred_megabytes() -> Body {
    const { assert!(CHUNK * CHUNKS > 100_000_000) };
    let chunks = (0..CHUNKS).map(|number| Ok::<_, Infallible>(chunk(number)));
    Body::from_stream(stream::iter(chunks))
}

fn chunk(number: usize) -> Bytes {
    vec![(number % 251).to_le_bytes()[0]; CHUNK].into()
}

#[tokio::test]
async fn a_hundred_megabytes_stream_through_each_channel_in_both_directions() {
    let echo = || {
        let echo = async |request: Request| Response::new(request.into_body());
        Router::new().route("/", post(echo))
    };
    let (app, handle) = split(echo);
    let server = Server::of_router(app);
    for channel in Channel::ALL {
        handle.set_weight(at(channel)).unwrap();
        for (version, client) in Client::of_each_version(&server) {
            let request = http::Request::post("/").body(hundred_megabytes()).unwrap();
            let response = client.send(request).await.unwrap();
            assert_eq!(channel_of(response.headers()), Some(channel));
            let mut body = response.into_body();
            let mut received = 0;
            while let Some(frame) = body.frame().await {
                let mut data = frame.unwrap().into_data().unwrap();
                while !data.is_empty() {
                    let left = CHUNK - received % CHUNK;
                    let part = data.split_to(left.min(data.len()));
                    let expected = chunk(received / CHUNK).slice(..part.len());
                    assert!(part == expected, "{version}: wrong data at byte {received}");
                    received += part.len();
                }
            }
            assert_eq!(received, CHUNK * CHUNKS, "{version} {channel}");
        }
    }
    let counts = final_counts(&handle).await.evidence;
    assert_eq!((counts.stable.success, counts.canary.success), (2, 2));
}

#[tokio::test]
async fn each_kind_of_complete_response_counts_as_one_success() {
    let routes = || {
        let unsized_body =
            async || Body::from_stream(stream::iter([Ok::<_, Infallible>("streamed")]));
        let sized_stream = async || {
            let body = Body::from_stream(stream::iter([Ok::<_, Infallible>("sized"), Ok("half")]));
            ([(header::CONTENT_LENGTH, "9")], body)
        };
        Router::new()
            .route("/full", get(async || "whole"))
            .route("/streamed", get(unsized_body))
            .route("/sized", get(sized_stream))
            .route("/empty", get(async || {}))
            .route("/no-content", get(async || StatusCode::NO_CONTENT))
            .route("/not-modified", get(async || StatusCode::NOT_MODIFIED))
    };
    let (layered, layer_handle) = split(routes);
    let beside = CanaryLayer::new("beside", routes());
    let beside_handle = beside.handle();
    for (app, handle) in [(layered, layer_handle), (routes().canary(beside), beside_handle)] {
        let server = Server::of_router(app);
        for channel in Channel::ALL {
            for (version, client) in Client::of_each_version(&server) {
                for (method, path, length, body) in [
                    (Method::GET, "/full", Some("5"), "whole"),
                    (Method::GET, "/streamed", None, "streamed"),
                    (Method::GET, "/sized", Some("9"), "sizedhalf"),
                    (Method::GET, "/empty", Some("0"), ""),
                    (Method::GET, "/no-content", None, ""),
                    (Method::GET, "/not-modified", None, ""),
                    (Method::HEAD, "/full", Some("5"), ""),
                    (Method::HEAD, "/sized", Some("9"), ""),
                    (Method::HEAD, "/streamed", None, ""),
                ] {
                    let what = format!("{version} {method} {path} by {channel}");
                    let before = final_counts(&handle).await.evidence[channel].clone();
                    handle.set_weight(at(channel)).unwrap();
                    let answer = client.ask(ask(method.clone(), path)).await;
                    assert_eq!(answer.body, body, "{what}");
                    let seen = answer.headers.get(header::CONTENT_LENGTH);
                    if answer.status == StatusCode::OK {
                        assert_eq!(seen.map(|length| length.to_str().unwrap()), length, "{what}");
                    }

                    let after = final_counts(&handle).await.evidence[channel].clone();
                    assert_eq!(after.picked, before.picked + 1, "{what}");
                    assert_eq!(after.success, before.success + 1, "{what}");
                }
            }
        }
    }
}

/// The lines of a response as they arrive at the socket, without those that differ by design.
async fn lines_of(server: &Server, method: &Method, path: &str) -> Vec<String> {
    let mut socket = TcpStream::connect(server.address()).await.unwrap();
    let request = format!("{method} {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut response = String::new();
    socket.read_to_string(&mut response).await.unwrap();
    let by_design = ["date: ", "x-canary-channel: ", "cache-control: "];
    let is_kept = |line: &&str| !by_design.iter().any(|name| line.starts_with(name));
    response.split("\r\n").filter(is_kept).map(str::to_owned).collect()
}

#[tokio::test]
async fn responses_to_get_and_head_have_the_bytes_that_they_have_without_a_layer() {
    let routes = || {
        let streamed = async || Body::from_stream(stream::iter([Ok::<_, Infallible>("streamed")]));
        let sized = async || {
            let body = Body::from_stream(stream::iter([Ok::<_, Infallible>("sized"), Ok("half")]));
            ([(header::CONTENT_LENGTH, "9")], body)
        };
        [
            ("/full", get(async || "whole")),
            ("/streamed", get(streamed)),
            ("/sized", get(sized)),
            ("/empty", get(async || {})),
            ("/no-content", get(async || StatusCode::NO_CONTENT)),
            ("/not-modified", get(async || StatusCode::NOT_MODIFIED)),
            ("/head", get(async || "whole").head(async || [("x-only", "head")])),
        ]
        .map(|(pattern, handler)| Route { nest: None, pattern, handler })
    };
    for mount in MOUNTS {
        let plain = (mount.plain)(routes().into());
        let mounted = (mount.mount)(routes().into(), routes().into());
        for Route { pattern, .. } in routes() {
            for method in [Method::GET, Method::HEAD] {
                let path = format!("{}{pattern}", mount.prefix);
                let expected = lines_of(&plain, &method, &path).await;
                for channel in Channel::ALL {
                    mounted.set_weight(at(channel));
                    let lines = lines_of(&mounted.server, &method, &path).await;
                    assert_eq!(lines, expected, "{}: {method} {path} by {channel}", mount.name);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_never_polled_ends_its_call_once() {
    let routes = || {
        Router::new()
            .route(
                "/ok",
                get(async || Body::from_stream(stream::pending::<Result<Bytes, Infallible>>())),
            )
            .route(
                "/error",
                get(async || {
                    (
                        StatusCode::BAD_GATEWAY,
                        Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()),
                    )
                }),
            )
    };
    let (app, handle) = split(routes);
    let discard = MapResponseLayer::new(|response: Response| response.map(|_| Body::empty()));
    let server = Server::of_router(app.layer(discard));
    for channel in Channel::ALL {
        handle.set_weight(at(channel)).unwrap();
        for (_, client) in Client::of_each_version(&server) {
            assert_eq!(client.get("/ok").await.status, StatusCode::OK);
            assert_eq!(client.get("/error").await.status, StatusCode::BAD_GATEWAY);
        }
        let counts = final_counts(&handle).await.evidence[channel].clone();
        assert_eq!((counts.cancelled, counts.failure, counts.picked), (2, 2, 4), "{channel}");
    }
}

#[tokio::test]
async fn server_errors_and_broken_bodies_are_failures() {
    let routes = || {
        let breaks = async || {
            let frames = [Ok("half"), Err(std::io::Error::other("intentional test error"))];
            Body::from_stream(stream::iter(frames))
        };
        Router::new()
            .route("/500", get(async || StatusCode::INTERNAL_SERVER_ERROR))
            .route("/503", get(async || (StatusCode::SERVICE_UNAVAILABLE, "later")))
            .route("/404", get(async || StatusCode::NOT_FOUND))
            .route("/breaks", get(breaks))
    };
    let (app, handle) = split(routes);
    let server = Server::of_router(app);
    for channel in Channel::ALL {
        handle.set_weight(at(channel)).unwrap();
        for (version, client) in Client::of_each_version(&server) {
            for path in ["/500", "/503", "/404"] {
                client.get(path).await;
            }
            // An error instead of a response means that the reset arrived before the head.
            if let Ok(response) = client.send(ask(Method::GET, "/breaks")).await {
                assert!(response.into_body().collect().await.is_err(), "{version}");
            }
        }
        let counts = final_counts(&handle).await.evidence[channel].clone();
        assert_eq!((counts.failure, counts.success, counts.picked), (6, 2, 8), "{channel}");
    }
}

/// Routes that report each call and then wait, before the head or in the body.
fn waiting(entered: &mpsc::UnboundedSender<()>) -> Router {
    let (head, body) = (entered.clone(), entered.clone());
    Router::new()
        .route(
            "/head",
            get(async move || {
                head.send(()).unwrap();
                std::future::pending::<()>().await;
            }),
        )
        .route(
            "/body",
            get(async move || {
                body.send(()).unwrap();
                let frames = stream::once(async { Ok::<_, Infallible>("first") });
                Body::from_stream(futures_util::StreamExt::chain(frames, stream::pending()))
            }),
        )
}

#[tokio::test]
async fn a_call_whose_caller_disconnects_is_cancelled() {
    let (entered, mut calls) = mpsc::unbounded_channel();
    let (app, handle) = split(|| waiting(&entered));
    let server = Server::of_router(app);
    for channel in Channel::ALL {
        handle.set_weight(at(channel)).unwrap();

        let (mut sender, connection) = connect_http1(&server).await;
        let response = sender.send_request(ask(Method::GET, "/head"));
        tokio::select! {
            biased;
            _ = response => unreachable!("the handler waits"),
            Some(()) = calls.recv() => {}
        }
        connection.abort();

        let (mut sender, connection) = connect_http1(&server).await;
        let mut response = sender.send_request(ask(Method::GET, "/body")).await.unwrap();
        assert_eq!(channel_of(response.headers()), Some(channel));
        response.body_mut().frame().await.unwrap().unwrap();
        calls.recv().await.unwrap();
        drop(response);
        connection.abort();

        // HTTP/2 resets the streams. The connection and another call on it continue.
        let client = Client::http2(&server);
        let other = client.send(ask(Method::GET, "/body")).await.unwrap();
        calls.recv().await.unwrap();
        tokio::select! {
            biased;
            _ = client.send(ask(Method::GET, "/head")) => unreachable!("the handler waits"),
            Some(()) = calls.recv() => {}
        }
        drop(client.send(ask(Method::GET, "/body")).await.unwrap());
        calls.recv().await.unwrap();
        assert_counts_add_up(&handle);
        drop(other);

        let counts = final_counts(&handle).await.evidence[channel].clone();
        assert_eq!((counts.cancelled, counts.picked), (5, 5), "{channel}");
    }
}

#[tokio::test]
async fn a_graceful_shutdown_waits_for_an_open_call_of_the_canary() {
    for http2 in [false, true] {
        let (entered, mut calls) = mpsc::unbounded_channel();
        let proceed = Arc::new(Notify::new());
        let routes = || {
            let (entered, proceed) = (entered.clone(), Arc::clone(&proceed));
            Router::new().route(
                "/",
                get(async move || {
                    entered.send(()).unwrap();
                    proceed.notified().await;
                    "done"
                }),
            )
        };
        let (app, handle) = split(routes);
        handle.set_weight(Weight::FULL).unwrap();
        let server = Server::of_router(app);
        let address = server.address();
        let client = if http2 { Client::http2(&server) } else { Client::http1(&server) };
        let call = tokio::spawn({
            let client = client.clone();
            async move { client.get("/").await }
        });
        calls.recv().await.unwrap();

        let mut shut_down = server.shut_down();
        // A server that refuses connections has started to shut down.
        while TcpStream::connect(address).await.is_ok() {
            tokio::task::yield_now().await;
        }
        assert_eq!(handle.open(Channel::Canary), 1);
        assert!(!shut_down.is_finished());
        proceed.notify_one();

        let answer = call.await.unwrap();
        assert_eq!((answer.channel(), &*answer.body), (Some(Channel::Canary), "done"));
        drop(client);
        (&mut shut_down).await.unwrap();
        assert_eq!(final_counts(&handle).await.evidence.canary.success, 1);
    }
}
