use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, StatusCode, header};

/// An error response of type `application/problem+json` (RFC 9457).
///
/// The detail is a fixed text, so it cannot repeat anything that the client sent.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Problem {
    pub(super) status: StatusCode,
    pub(super) detail: &'static str,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, detail } = self;
        let title = status.canonical_reason().unwrap_or("Error");
        let problem =
            serde_json::json!({ "status": status.as_u16(), "title": title, "detail": detail });
        let mut response = Response::new(Body::from(problem.to_string()));
        *response.status_mut() = status;
        let problem_json = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, problem_json);
        response
    }
}
