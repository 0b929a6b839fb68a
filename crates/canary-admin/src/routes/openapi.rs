use std::sync::Arc;

use axum::{Extension, response::Response};

use crate::routes::json_bytes;

/// The OpenAPI document, as JSON.
#[derive(Clone)]
pub(crate) struct OpenApiJson(pub(crate) Arc<str>);

/// This document. It needs no credentials.
#[utoipa::path(
    get,
    path = "/openapi.json",
    responses((status = 200, description = "An OpenAPI document", body = Object)),
    security(())
)]
pub(crate) async fn openapi(Extension(OpenApiJson(json)): Extension<OpenApiJson>) -> Response {
    json_bytes(json.to_string().into())
}
