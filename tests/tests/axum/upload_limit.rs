//! A limit for uploads outside of the layers: what the caller gets must not depend on them.

use std::convert::Infallible;

use axum::{
    Json, Router,
    body::{Body, Bytes},
    extract::Request,
    http::{StatusCode, header::CONTENT_TYPE},
    routing::post,
};
use canary_tests::{Client, Server, final_counts};
use futures_util::stream;
use http_body::Frame;
use http_body_util::StreamBody;
use tower::ServiceBuilder;
use tower_canary::{
    CanaryLayer, CanaryOptions, Channel, Fallback, Weight,
    select::{Condition, Incoming, Selection},
};
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
            is_refused(name, stack.layer(limit()), Some(channel)).await;
        }
        // In one stack, the canary gets the limited body, whose type is another one.
        for fallback in [None, Some(repeat_all())] {
            let layer = canary(weight, fallback);
            let stack = ServiceBuilder::new().layer(limit());
            let boxed = app().layer(stack.clone().layer(layer.clone().boxed()));
            is_refused("a boxed canary in one stack", boxed, Some(channel)).await;
            let unboxed = app().layer(stack.layer(layer));
            is_refused("a canary in one stack", unboxed, Some(channel)).await;
        }
    }
}

fn limit() -> RequestBodyLimitLayer {
    RequestBodyLimitLayer::new(500)
}

async fn is_refused(name: &str, app: Router, channel: Option<Channel>) {
    let server = Server::of_router(app);
    let client = Client::http1(&server);
    for path in ["/bytes", "/text", "/json"] {
        let answer = client.ask(upload(path)).await;
        let found = (answer.status, answer.channel());
        let expected = (StatusCode::PAYLOAD_TOO_LARGE, channel);
        assert_eq!(found, expected, "{name}, {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn stable_repeats_an_upload_within_the_limit() {
    let fails = Router::new().route("/bytes", post(async |_: Bytes| StatusCode::BAD_GATEWAY));
    let options = CanaryOptions::new()
        .fallback(Fallback::axum().only(Condition::any()))
        .select(|request: &Incoming<'_>| request.sticky_key("ann").map(Selection::sticky));
    let layer = CanaryLayer::with_options("shop", fails, options);
    let handle = layer.handle();
    handle.set_weight(Weight::from_ppm(999_999)).unwrap();
    let stack = ServiceBuilder::new().layer(RequestBodyLimitLayer::new(5_000)).layer(layer.boxed());
    let server = Server::of_router(app().layer(stack));
    for (_, client) in Client::of_each_version(&server) {
        let answer = client.ask(upload("/bytes")).await;
        assert_eq!((answer.status, answer.body.as_str()), (StatusCode::OK, "1000"));
    }
    let canary = final_counts(&handle).await.evidence.canary;
    assert_eq!([canary.failure, canary.fell_back], [2, 2]);
}
