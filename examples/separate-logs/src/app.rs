//! Two versions of a service, and the access log around both.

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

/// Responses carry their [`Assignment`], for the access log.
pub fn options() -> CanaryOptions {
    CanaryOptions::new().tags(Tags::default().response_extension())
}

/// Version 1 with a canary beside it, and the access log around both.
///
/// Outside of the canary's layer the access log has all calls, those among them that a service panicked
/// over, with the status that the caller gets.
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
    // None if the path bypasses the canary.
    if let Some(call) = response.extensions().get::<Assignment>() {
        tracing::info!(
            target: "access",
            canary = call.canary(), // By this and the next field the line finds its file.
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
    assert_ne!(*id, 13, "nobody would ask for item 13");
    item(id).await
}

async fn item(Path(id): Path<u32>) -> String {
    tracing::info!(id, "looked up");
    // A task is in no span of its own accord.
    tokio::spawn(async move { tracing::info!(id, "remembered") }.in_current_span());
    format!("item {id}\n")
}

/// A body that is made, and logs, while it is sent.
fn export(what: &'static str) -> Body {
    Body::from_stream(stream::iter(1..=3).map(move |id| {
        tracing::info!(id, "exported");
        Ok::<_, Infallible>(format!("{what} {id}\n"))
    }))
}
