//! Two versions of a service, with one access log.

use std::{convert::Infallible, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{Path, Request},
    middleware::{Next, from_fn},
    response::Response,
    routing::get,
};
use futures_util::{StreamExt as _, stream};
use tower::{Layer as _, Service};
use tower_canary::{Assignment, CanaryLayer, CanaryOptions, Tags};
use tracing::Instrument as _;

/// Returns options that add the [`Assignment`] to responses, for the access log.
pub fn options() -> CanaryOptions {
    CanaryOptions::new().tags(Tags::default().response_extension())
}

/// Returns version 1 with the canary and the access log.
///
/// The access log is outside of the canary layer. It contains all calls, including panics, with the
/// status that the caller receives.
pub fn app<C>(layer: &CanaryLayer<C>) -> Router
where
    C: Service<Request, Response = Response, Error = Infallible, Future: Send>
        + Clone
        + Send
        + Sync
        + 'static,
{
    Router::new().fallback_service(layer.layer(v1())).layer(from_fn(access_log))
}

async fn access_log(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let started = Instant::now();
    let response = next.run(request).await;
    // Bypassed paths have no assignment.
    if let Some(call) = response.extensions().get::<Assignment>() {
        tracing::info!(
            target: "access",
            canary = call.canary(), // This field and `channel` select the file.
            channel = call.channel().as_str(),
            reason = call.reason().as_str(),
            %method,
            path,
            status = response.status().as_u16(),
            head_after = ?started.elapsed(),
        );
    }
    response
}

fn v1() -> Router {
    Router::new().route("/items/{id}", get(item)).route("/export", get(async || export("item")))
}

/// Version 2, the canary.
pub fn v2() -> Router {
    Router::new()
        .route("/items/{id}", get(item_v2))
        .route("/export", get(async || export("product")))
}

async fn item_v2(id: Path<u32>) -> String {
    assert_ne!(*id, 13, "item 13 is not supported");
    item(id).await
}

async fn item(Path(id): Path<u32>) -> String {
    tracing::info!(id, "looked up");
    // A spawned task does not inherit the span.
    tokio::spawn(async move { tracing::info!(id, "remembered") }.in_current_span());
    format!("item {id}\n")
}

/// Returns a body that is generated and logged while it is sent.
fn export(what: &'static str) -> Body {
    Body::from_stream(stream::iter(1..=3).map(move |id| {
        tracing::info!(id, "exported");
        Ok::<_, Infallible>(format!("{what} {id}\n"))
    }))
}
