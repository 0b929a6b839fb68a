use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    http::{Method, Request, StatusCode},
    response::{IntoResponse, Response},
    routing::any,
};
use bytes::Bytes;
use canary_tests::{
    Client, Server, breakpoint::Breakpoint, connect_http2, final_counts, timeout::complete,
};
use futures_util::StreamExt;
use http_body_util::BodyExt;
use tower_canary::{
    Assignment, CanaryHandle, CanaryLayer, CanaryOptions, Channel, Fallback, axum::RouterExt,
};

use crate::{ALMOST_ALL, all_to_canary};

/// The position of the layer.
#[derive(Clone, Copy, Debug)]
enum Mount {
    Layer,
    Beside,
}

const MOUNTS: [Mount; 2] = [Mount::Layer, Mount::Beside];

fn start(
    mount: Mount,
    options: CanaryOptions,
    breakpoints: [&Arc<Breakpoint>; 2],
) -> (Server, CanaryHandle) {
    let [v1, v2] = breakpoints.map(|breakpoint| {
        Router::new().route("/{fault}/{id}", any(handle)).with_state(Arc::clone(breakpoint))
    });
    let layer = CanaryLayer::with_options("faulty", v2, all_to_canary(options));
    let handle = layer.handle();
    handle.set_weight(ALMOST_ALL).unwrap();
    let app = match mount {
        Mount::Layer => v1.layer(layer),
        Mount::Beside => v1.canary(layer),
    };
    (Server::of_router(app), handle)
}

/// Reads the request's body. On the canary, the path selects the fault.
async fn handle(
    State(breakpoint): State<Arc<Breakpoint>>,
    Path((fault, id)): Path<(String, u32)>,
    assignment: Assignment,
    request: axum::extract::Request,
) -> Response {
    let is_canary = assignment.channel() == Channel::Canary;
    let body = match (is_canary, &*fault) {
        // The body is not read.
        (true, "panic-early") => panic!("intentional test panic"),
        (true, "hang") => std::future::pending().await,
        _ => request.into_body().collect().await.unwrap().to_bytes(),
    };
    match (is_canary, &*fault) {
        (true, "panic") => panic!("intentional test panic"),
        (true, "500") => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        (true, "break") => {
            let rest = async move {
                breakpoint.stop().await;
                Err("broken")
            };
            let frames = futures_util::stream::iter([Ok(Bytes::from("half"))]);
            Body::from_stream(frames.chain(futures_util::stream::once(rest))).into_response()
        }
        (true, "wait") | (false, "wait-stable") => {
            breakpoint.stop().await;
            format!("{} {id} {}", assignment.channel(), body.len()).into_response()
        }
        (true, "wait-stable") => panic!("intentional test panic"),
        _ => format!("{} {id} {}", assignment.channel(), body.len()).into_response(),
    }
}

fn request(method: Method, path: &str, body: impl Into<Body>) -> Request<Body> {
    Request::builder().method(method).uri(path).body(body.into()).unwrap()
}

fn new_breakpoints() -> [Arc<Breakpoint>; 2] {
    [Arc::default(), Arc::default()]
}

#[tokio::test]
async fn a_call_that_hangs_gets_status_504_at_its_limit() {
    let [g1, g2] = &new_breakpoints();
    for mount in MOUNTS {
        let options = CanaryOptions::new().time_limit(Channel::Canary, Duration::from_millis(20));
        let (server, canary) = start(mount, options, [g1, g2]);
        for (version, client) in Client::of_each_version(&server) {
            let answer = complete(client.get("/hang/7")).await;
            assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT, "{mount:?} {version}");
            assert_eq!(answer.channel(), Some(Channel::Canary));
        }
        let canary = final_counts(&canary).await.evidence.canary;
        assert_eq!([canary.failure, canary.timed_out, canary.fell_back], [2, 2, 0]);
    }
}

#[tokio::test]
async fn stable_repeats_idempotent_calls_that_the_canary_failed() {
    let [g1, g2] = &new_breakpoints();
    for mount in MOUNTS {
        let options = CanaryOptions::new().fallback(Fallback::axum());
        let (server, canary) = start(mount, options, [g1, g2]);
        for (version, client) in Client::of_each_version(&server) {
            for fault in ["panic-early", "panic", "500"] {
                for (method, length) in [(Method::GET, 0), (Method::PUT, 1000)] {
                    let body = vec![b'x'; length];
                    let answer =
                        complete(client.ask(request(method, &format!("/{fault}/7"), body))).await;
                    assert_eq!(answer.status, StatusCode::OK, "{mount:?} {version} {fault}");
                    assert_eq!(answer.channel(), Some(Channel::Stable));
                    assert_eq!(answer.body, format!("stable 7 {length}"));
                }
            }
        }
        let counts = final_counts(&canary).await;
        let canary = counts.evidence.canary;
        assert_eq!([canary.picked, canary.failure, canary.fell_back], [12; 3]);
        assert_eq!([canary.panicked, canary.timed_out], [8, 0]);
        assert_eq!(counts.excluded.stable.success, 12);
    }
}

#[tokio::test]
async fn stable_repeats_a_call_that_timed_out() {
    let [g1, g2] = &new_breakpoints();
    for mount in MOUNTS {
        let options = CanaryOptions::new()
            .fallback(Fallback::axum())
            .time_limit(Channel::Canary, Duration::from_millis(20));
        let (server, canary) = start(mount, options, [g1, g2]);
        for (version, client) in Client::of_each_version(&server) {
            let answer = complete(client.ask(request(Method::PUT, "/hang/7", "text"))).await;
            assert_eq!(answer.body, "stable 7 4", "{mount:?} {version}");
        }
        let canary = final_counts(&canary).await.evidence.canary;
        assert_eq!([canary.failure, canary.timed_out, canary.fell_back], [2; 3]);
    }
}

#[tokio::test]
async fn a_post_is_not_repeated() {
    let [g1, g2] = &new_breakpoints();
    for mount in MOUNTS {
        let options = CanaryOptions::new().fallback(Fallback::axum());
        let (server, canary) = start(mount, options, [g1, g2]);
        for (_, client) in Client::of_each_version(&server) {
            let answer = complete(client.ask(request(Method::POST, "/panic/7", "text"))).await;
            assert_eq!(answer.status, StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(answer.channel(), Some(Channel::Canary));
        }
        assert_eq!(final_counts(&canary).await.evidence.canary.fell_back, 0);
    }
}

#[tokio::test]
async fn a_streamed_body_above_max_body_reaches_the_canary_and_is_not_repeated() {
    let [g1, g2] = &new_breakpoints();
    for mount in MOUNTS {
        let options = CanaryOptions::new().fallback(Fallback::axum().max_body(10_000));
        let (server, canary) = start(mount, options, [g1, g2]);
        for (version, client) in Client::of_each_version(&server) {
            for (frames, channel) in [(10, Channel::Stable), (11, Channel::Canary)] {
                let stream = || {
                    let frames = (0..frames).map(|_| Ok::<_, &str>(vec![b'x'; 1000]));
                    Body::from_stream(futures_util::stream::iter(frames))
                };
                let answer = complete(client.ask(request(Method::PUT, "/500/7", stream()))).await;
                assert_eq!(answer.channel(), Some(channel), "{mount:?} {version} {frames}");
                let answer = complete(client.ask(request(Method::PUT, "/fine/7", stream()))).await;
                assert_eq!(answer.body, format!("canary 7 {}", frames * 1000));
            }
        }
        let canary = final_counts(&canary).await.evidence.canary;
        assert_eq!([canary.failure, canary.fell_back], [4, 2]);
    }
}

#[tokio::test]
async fn a_call_whose_head_was_sent_is_not_repeated() {
    let [g1, g2] = &new_breakpoints();
    for mount in MOUNTS {
        let options = CanaryOptions::new().fallback(Fallback::axum());
        let (server, canary) = start(mount, options, [g1, g2]);
        for (version, client) in Client::of_each_version(&server) {
            let response =
                complete(client.send(request(Method::GET, "/break/7", ""))).await.unwrap();
            assert_eq!(response.status(), StatusCode::OK);
            g2.resume();
            assert!(complete(response.into_body().collect()).await.is_err(), "{version}");
        }
        let counts = final_counts(&canary).await;
        assert_eq!([counts.evidence.canary.failure, counts.evidence.canary.fell_back], [2, 0]);
        assert_eq!(counts.excluded.stable.picked, 0);
    }
}

#[tokio::test]
async fn calls_above_the_concurrency_limit_go_to_stable() {
    for mount in MOUNTS {
        let [g1, g2] = &new_breakpoints();
        let options = CanaryOptions::new().concurrency_limit(3);
        let (server, canary) = start(mount, options, [g1, g2]);
        let client = Client::http2(&server);
        let busy: Vec<_> = (0..3)
            .map(|_| {
                let client = client.clone();
                tokio::spawn(async move { client.get("/wait/7").await })
            })
            .collect();
        for _ in 0..3 {
            g2.wait_for_arrival().await;
        }
        for (_, client) in Client::of_each_version(&server) {
            for _ in 0..50 {
                let answer = complete(client.get("/fine/7")).await;
                assert_eq!(answer.channel(), Some(Channel::Stable));
            }
        }
        (0..3).for_each(|_| g2.resume());
        for call in busy {
            assert_eq!(complete(call).await.unwrap().channel(), Some(Channel::Canary));
        }
        assert_eq!(complete(client.get("/fine/7")).await.channel(), Some(Channel::Canary));
        let counts = final_counts(&canary).await;
        let canary = counts.evidence.canary;
        assert_eq!([canary.success, canary.spilled, canary.shed], [4, 100, 100]);
        assert_eq!(counts.excluded.stable.success, 100);
    }
}

#[tokio::test]
async fn a_client_that_disconnects_during_a_repeated_call_cancels_it() {
    for mount in MOUNTS {
        let [g1, g2] = &new_breakpoints();
        let options = CanaryOptions::new().fallback(Fallback::axum());
        let (server, canary) = start(mount, options, [g1, g2]);
        let (mut sender, _connection) = connect_http2(&server).await;
        let mut request = request(Method::GET, "/wait-stable/7", "");
        *request.uri_mut() = format!("http://{}/wait-stable/7", server.address()).parse().unwrap();
        let call = tokio::spawn(sender.send_request(request));
        g1.wait_for_arrival().await;
        assert_eq!(canary.open(Channel::Stable), 1);
        assert_eq!(canary.open(Channel::Canary), 0);
        call.abort();
        let counts = final_counts(&canary).await;
        assert_eq!([counts.evidence.canary.failure, counts.evidence.canary.fell_back], [1, 1]);
        assert_eq!([counts.excluded.stable.cancelled, counts.excluded.stable.failure], [1, 0]);
    }
}
