//! The OpenAPI document, which is made from the same list as the router.

use std::sync::Arc;

use axum::Router;
use canary_api::Problem;
use utoipa::OpenApi;
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    gateway,
    routes::{canaries, commands, drain, events, plan, points, session, variables},
    shared::Shared,
};

/// What the document says beside its paths.
#[derive(OpenApi)]
#[openapi(
    info(title = "canary", description = "Steers canary releases."),
    components(schemas(Problem))
)]
struct Document;

/// Returns the routes of the API, and the document as JSON.
pub(crate) fn api() -> (Router<Arc<Shared>>, String) {
    let (router, document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(session::session))
        .routes(routes!(session::healthz))
        .routes(routes!(canaries::list))
        .routes(routes!(canaries::one))
        .routes(routes!(events::events))
        .routes(routes!(points::points))
        .routes(routes!(commands::command))
        .routes(routes!(variables::show, variables::change))
        .routes(routes!(plan::show, plan::replace))
        .routes(routes!(plan::check))
        .routes(routes!(drain::drain))
        .routes(routes!(gateway::routes::show, gateway::routes::update))
        .split_for_parts();
    let json = document.to_json().expect("the document has texts and numbers only");
    (router, json)
}
