//! The layer in one stack with layers that make responses of their own.

use std::time::Duration;

use axum::{Router, ServiceExt, body::Body, extract::Request, http::StatusCode, routing::get};
use canary_tests::{Client, Server};
use tonic::service::Routes;
use tower::{Layer, ServiceBuilder, ServiceExt as _};
use tower_canary::{CanaryLayer, axum::AxumBody};
use tower_http::{
    cors::CorsLayer, timeout::TimeoutLayer, validate_request::ValidateRequestHeaderLayer,
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
