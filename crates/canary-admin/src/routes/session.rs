use std::sync::Arc;

use axum::{extract::State, response::Response};
use canary_api::Session;

use crate::{access::Caller, routes::json, shared::Shared};

/// Who the caller is, and what it may do.
#[utoipa::path(
    get,
    path = "/session",
    responses((status = 200, description = "The caller", body = Session))
)]
pub(crate) async fn session(State(shared): State<Arc<Shared>>, caller: Caller) -> Response {
    json(&Session {
        operator: caller.operator().clone(),
        environment: shared.environment.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    })
}

/// Whether the server answers. It needs no credentials.
#[utoipa::path(
    get,
    path = "/healthz",
    responses((status = 200, description = "The server answers", body = String, content_type = "text/plain")),
    security(())
)]
pub(crate) async fn healthz() -> &'static str {
    "ok\n"
}
