//! The OpenAPI document, which is made from the same list as the router.

use std::sync::Arc;

use axum::Router;
use canary_api::Problem;
use utoipa::{
    OpenApi,
    openapi::{
        ContentBuilder, Ref, RefOr, Response, ResponseBuilder, SecurityRequirement,
        path::{Operation, PathItem},
        security::{HttpAuthScheme, HttpBuilder, SecurityScheme},
    },
};
use utoipa_axum::{router::OpenApiRouter, routes};

use crate::{
    gateway,
    routes::{canaries, commands, drain, events, openapi, plan, points, session, variables},
    shared::Shared,
};

/// What the document says beside its paths.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "canary",
        description = "Steers canary releases. Every error is a problem as in RFC 9457.",
        license(name = "MIT OR Apache-2.0")
    ),
    // Relative to the document, wherever it is mounted.
    servers((url = ".")),
    components(schemas(Problem))
)]
struct Document;

/// Returns the routes of the API, and the document as JSON.
pub(crate) fn api() -> (Router<Arc<Shared>>, String) {
    let (router, mut document) = OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(session::session))
        .routes(routes!(session::healthz))
        .routes(routes!(openapi::openapi))
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
    for (path, item) in &mut document.paths.paths {
        for operation in operations(item) {
            add_problems(path, operation);
        }
    }
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme("token", SecurityScheme::Http(bearer));
    let (token, local) =
        (SecurityRequirement::new("token", [""; 0]), SecurityRequirement::default());
    document.security = Some(vec![token, local]);
    let json = document.to_json().expect("the document has texts and numbers only");
    (router, json)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, patch, .. } = item;
    [get, put, post, patch].into_iter().filter_map(Option::as_mut)
}

/// Adds the problems that the layers around all routes and the extractors can respond with.
fn add_problems(path: &str, operation: &mut Operation) {
    let has_body = operation.request_body.is_some();
    let has_params = operation.parameters.as_ref().is_some_and(|it| !it.is_empty());
    let is_public = operation.security.is_some();
    let is_gateway = path.starts_with("/restapis/");
    let problems = [
        (400, "The request is malformed", has_body || has_params),
        (401, "The request has no valid credentials", !is_public),
        (403, "The role does not allow this, or the request is from another website", true),
        (404, "There is no such canary", path.contains('{')),
        (408, "The body takes too long", has_body),
        (413, "The body has more than 64 KiB", has_body),
        (415, "The body is not JSON", has_body),
        (421, "The server does not answer to this host name", true),
        (422, "A value is invalid", !is_gateway && (has_body || has_params)),
        (429, "There are too many requests", !is_public),
        (500, "The server has a fault", true),
        (503, "The state of the rollout cannot be read or stored", path.contains('{')),
    ];
    for (status, description, can_be) in problems {
        if can_be {
            let responses = &mut operation.responses.responses;
            responses.entry(status.to_string()).or_insert_with(|| problem(description, is_gateway));
        }
    }
}

fn problem(description: &str, is_gateway: bool) -> RefOr<Response> {
    let (media_type, name) = match is_gateway {
        true => ("application/json", "Refusal"),
        false => ("application/problem+json", "Problem"),
    };
    let content = ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build();
    ResponseBuilder::new().description(description).content(media_type, content).build().into()
}
