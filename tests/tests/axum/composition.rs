//! The layer in one stack with layers that make responses of their own, and as an optional layer.

use std::{io, time::Duration};

use axum::{Router, ServiceExt, body::Body, extract::Request, http::StatusCode, routing::get};
use canary_tests::{Client, Server, final_counts};
use http_body_util::BodyExt;
use tonic::service::Routes;
use tower::{Layer, ServiceBuilder, ServiceExt as _, util::option_layer};
use tower_canary::{BoxedCanaryLayer, CanaryLayer, Channel, Weight, axum::AxumBody};
use tower_http::{
    cors::CorsLayer, limit::RequestBodyLimitLayer, timeout::TimeoutLayer,
    validate_request::ValidateRequestHeaderLayer,
};

fn app() -> Router {
    Router::new().route("/", get(async || "hello"))
}

#[tokio::test]
async fn cors_and_a_time_limit_share_a_stack_with_the_canary() {
    let limit =
        TimeoutLayer::with_status_code(StatusCode::GATEWAY_TIMEOUT, Duration::from_secs(60));
    let stack = ServiceBuilder::new()
        .layer(CorsLayer::permissive())
        .layer(limit)
        .layer(CanaryLayer::new("shop", app()));
    let server = Server::of_router(app().layer(stack));
    let answer = Client::http1(&server).get("/").await;
    assert_eq!(
        (answer.body.as_str(), &answer.headers["x-canary-channel"]),
        ("hello", &"stable".parse().unwrap())
    );
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
}

#[tokio::test]
async fn a_check_of_headers_outside_of_the_canary_refuses_with_its_own_response() {
    let service = ServiceBuilder::new()
        .layer(ValidateRequestHeaderLayer::accept("application/json"))
        .layer(CanaryLayer::new("shop", app()))
        .service(app());
    let make_service = ServiceExt::<Request>::into_make_service(AxumBody::new(service));
    let server = Server::of_maker(make_service);
    let request = Request::get("/").header("accept", "text/html").body(Body::empty()).unwrap();
    let answer = Client::http1(&server).ask(request).await;
    assert_eq!((answer.status, answer.channel()), (StatusCode::NOT_ACCEPTABLE, None));
}

#[tokio::test]
async fn cors_is_outside_of_the_canary_of_a_tonic_service() {
    let layer = CanaryLayer::new("shop", Routes::default().prepare());
    let service = CorsLayer::permissive().layer(layer.layer(Routes::default().prepare()));
    let preflight = Request::options("/shop.Catalog/Get").body(tonic::body::Body::empty()).unwrap();
    let response = service.oneshot(preflight).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.headers().contains_key("access-control-allow-methods"));
}

fn optional(is_enabled: bool, canary: Router) -> Option<BoxedCanaryLayer<Router, Body>> {
    is_enabled.then(|| CanaryLayer::new("shop", canary).boxed())
}

#[tokio::test]
async fn an_optional_layer_splits_the_calls_of_a_router_if_it_is_there() {
    for is_enabled in [true, false] {
        let cors = ServiceBuilder::new().layer(CorsLayer::permissive());
        let layer = optional(is_enabled, app());
        let canary = layer.as_ref().map(BoxedCanaryLayer::handle);
        let stacks = [
            app().layer(option_layer(layer.clone())),
            app().layer(cors.clone().option_layer(layer.clone())),
            app().layer(cors.layer(RequestBodyLimitLayer::new(100)).option_layer(layer)),
        ];
        for stack in stacks {
            let server = Server::of_router(stack);
            for (weight, channel) in
                [(Weight::ZERO, Channel::Stable), (Weight::FULL, Channel::Canary)]
            {
                canary.as_ref().inspect(|canary| canary.set_weight(weight).unwrap());
                for (_, client) in Client::of_each_version(&server) {
                    let answer = client.get("/").await;
                    assert_eq!(answer.body, "hello");
                    assert_eq!(answer.channel(), is_enabled.then_some(channel));
                }
            }
        }
        if let Some(canary) = canary {
            let counts = final_counts(&canary).await.evidence;
            assert_eq!([counts.stable.success, counts.canary.success], [6; 2]);
        }
    }
}

#[tokio::test]
async fn a_boxed_layer_counts_a_body_at_its_end_and_passes_its_errors_on() {
    let routes = || {
        let breaks = || {
            let frames = [Ok("half"), Err(io::Error::other("intentional test error"))];
            Body::from_stream(futures_util::stream::iter(frames))
        };
        Router::new().route("/", get(async move || breaks()))
    };
    let layer = CanaryLayer::new("shop", routes()).boxed();
    let canary = layer.handle();
    let server = Server::of_router(routes().layer(layer));
    // An error instead of a response means that the reset arrived before the head.
    if let Ok(response) = Client::http2(&server).send(Request::new(Body::empty())).await {
        assert!(response.into_body().collect().await.is_err());
    }
    assert_eq!(final_counts(&canary).await.evidence.stable.failure, 1);
}
