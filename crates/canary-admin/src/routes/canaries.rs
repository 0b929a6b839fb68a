use std::sync::Arc;

use axum::{body::Bytes, extract::State, response::Response};
use canary_api::CanaryView;
use http::{HeaderValue, header};

use crate::{extract::NamedCanary, routes::json_bytes, shared::Shared};

/// All canaries, sorted by name.
#[utoipa::path(
    get,
    path = "/canaries",
    responses((status = 200, description = "The canaries", body = [CanaryView]))
)]
pub(crate) async fn list(State(shared): State<Arc<Shared>>) -> Response {
    let canaries = shared.canaries.all();
    let views: Vec<Bytes> = canaries.iter().map(|canary| canary.json()).collect();
    let mut list = vec![b'['];
    for (index, view) in views.iter().enumerate() {
        if index > 0 {
            list.push(b',');
        }
        list.extend_from_slice(view);
    }
    list.push(b']');
    json_bytes(list.into())
}

/// One canary. Its `ETag` is the id of the latest event, for `If-Match`.
#[utoipa::path(
    get,
    path = "/canaries/{canary}",
    params(("canary" = String, Path, description = "The name of the canary")),
    responses((
        status = 200,
        description = "The canary",
        body = CanaryView,
        headers(("etag" = Option<String>, description = "The id of the latest event in quotes"))
    ))
)]
pub(crate) async fn one(NamedCanary(canary): NamedCanary) -> Response {
    // Before the view, so that it is never newer than what the client sees.
    let latest = *canary.rollout().feed().borrow();
    let mut response = json_bytes(canary.json());
    if let Some(latest) = latest {
        let tag = HeaderValue::try_from(format!("\"{latest}\"")).expect("an id has digits only");
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}
