use std::sync::Arc;

use axum::{
    body::to_bytes,
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use canary_api::Problem;
use http::{HeaderValue, StatusCode, header};
use tonic::{Code, Status, metadata::MetadataValue};

use crate::{
    access::Caller,
    problem::{sentence, shortened},
    shared::Shared,
};

/// Gives refusals that the layers make, as the HTTP API does, the form of gRPC. Logs all refusals.
pub(super) async fn translate(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let path = shortened(request.uri().path());
    let mut response = next.run(request).await;
    let problem = HeaderValue::from_static("application/problem+json");
    if response.headers().get(header::CONTENT_TYPE) == Some(&problem) {
        let (parts, body) = response.into_parts();
        // The body is in memory already.
        let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
        let problem = serde_json::from_slice(&body).unwrap_or_default();
        response = status(&problem).into_http();
        response.extensions_mut().extend(parts.extensions);
    }
    log_refusal(&shared, &path, &response);
    response
}

/// Logs a call that was refused at once. The message stays out, because it can have values of variables.
fn log_refusal(shared: &Shared, path: &str, response: &Response) {
    let Some(status) = Status::from_header_map(response.headers()) else { return };
    let is_fault = matches!(status.code(), Code::NotFound | Code::Unavailable | Code::Internal);
    // Of a change, every failure counts.
    if status.code() == Code::Ok || is_fault && path != COMMAND {
        return;
    }
    let who = response.extensions().get::<Caller>().map_or("", Caller::name);
    let Some(left_out) = shared.outsiders.admit(who) else { return };
    let problem = status.metadata().get(PROBLEM).and_then(|problem| problem.to_str().ok());
    tracing::warn!(
        target: "canary::audit",
        who,
        path,
        code = ?status.code(),
        problem,
        left_out,
        "the API refused a call with {:?}",
        status.code(),
    );
}

/// Returns the status of a problem.
pub(super) fn status(problem: &Problem) -> Status {
    let mut status = Status::new(code(problem.status), sentence(problem));
    let latest = problem.latest.as_ref().map(|latest| latest.as_str());
    for (name, value) in [(PROBLEM, Some(problem.kind.as_str())), (LATEST, latest)] {
        if let Some(value) = value.and_then(|value| MetadataValue::try_from(value).ok()) {
            status.metadata_mut().insert(name, value);
        }
    }
    status
}

fn code(status: u16) -> Code {
    match StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR) {
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::NotFound,
        StatusCode::CONFLICT => Code::FailedPrecondition,
        StatusCode::PRECONDITION_FAILED => Code::Aborted,
        StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        StatusCode::INTERNAL_SERVER_ERROR => Code::Internal,
        _ => Code::InvalidArgument,
    }
}

/// The path of the only call that changes something.
const COMMAND: &str = "/canary.v1.Control/Command";

/// The kind of the problem, in the metadata.
const PROBLEM: &str = "canary-problem";

/// The id of the latest event, in the metadata.
const LATEST: &str = "canary-latest";
