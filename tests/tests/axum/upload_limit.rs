//! A limit for uploads outside of the layers: what the caller gets must not depend on them.

use std::convert::Infallible;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::Request,
    http::{StatusCode, header::CONTENT_TYPE},
    routing::post,
};
use canary_tests::{Client, Server};
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use tower_canary::{CanaryLayer, CanaryOptions, Channel, Fallback, Weight, select::Condition};
use tower_canary_mirror::{MirrorLayer, MirrorOptions};
use tower_http::limit::RequestBodyLimitLayer;

fn app() -> Router {
    Router::new()
        .route("/bytes", post(async |body: Bytes| body.len().to_string()))
        .route("/text", post(async |body: String| body))
        .route("/json", post(async |Json(words): Json<Vec<String>>| words.concat()))
}

/// Creates a request with a body of 1,000 bytes without a `content-length`.
fn upload(path: &str) -> Request {
    let frames = (0..10).map(|_| Ok::<_, Infallible>(Frame::data(Bytes::from(vec![b'a'; 100]))));
    let body = Body::new(StreamBody::new(stream::iter(frames)));
    Request::post(path).header(CONTENT_TYPE, "application/json").body(body).unwrap()
}

fn canary(weight: Weight, fallback: Option<Fallback>) -> CanaryLayer<Router> {
    let options = fallback.into_iter().fold(CanaryOptions::new(), CanaryOptions::fallback);
    let layer = CanaryLayer::with_options("shop", app(), options);
    layer.handle().set_weight(weight).unwrap();
    layer
}

fn mirror() -> MirrorLayer<Router> {
    let options = MirrorOptions::new().share(Weight::FULL).only(Condition::any());
    MirrorLayer::with_options("shop", app(), options)
}

#[tokio::test]
async fn an_upload_beyond_the_limit_is_refused_with_413_through_every_wrapper() {
    let repeat_all = || Fallback::axum().only(Condition::any());
    for (weight, channel) in [(Weight::ZERO, Channel::Stable), (Weight::FULL, Channel::Canary)] {
        let stacks = [
            ("a canary", app().layer(canary(weight, None))),
            ("a fallback", app().layer(canary(weight, Some(repeat_all())))),
            ("a mirror outside", app().layer(canary(weight, None)).layer(mirror())),
            ("a mirror inside", app().layer(mirror()).layer(canary(weight, None))),
            (
                "all",
                app().layer(mirror()).layer(canary(weight, Some(repeat_all()))).layer(mirror()),
            ),
        ];
        for (name, stack) in stacks {
            let server = Server::of_router(stack.layer(RequestBodyLimitLayer::new(500)));
            let client = Client::http1(&server);
            for path in ["/bytes", "/text", "/json"] {
                let answer = client.ask(upload(path)).await;
                let found = (answer.status, answer.channel());
                let expected = (StatusCode::PAYLOAD_TOO_LARGE, Some(channel));
                assert_eq!(found, expected, "{name}, {path}: {}", answer.body);
            }
        }
    }
}
