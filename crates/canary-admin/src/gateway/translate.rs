use axum::{
    body::{Body, to_bytes},
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use canary_api::Problem;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde::Serialize;

use crate::problem::{ApiError, Kind};

/// The body of an error response, as the gateway has it. The header `x-amzn-errortype` names the
/// exception.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Refusal {
    /// What is wrong, and what was expected.
    message: String,
}

/// Gives the error responses of the gateway's API, from wherever they come, the form that its clients
/// read. Refuses signed requests.
pub(crate) async fn translate(request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/restapis/") {
        return next.run(request).await;
    }
    let response = if is_signed(request.headers()) {
        ApiError::new(Kind::Unauthorized, SIGNED).into_response()
    } else {
        next.run(request).await
    };
    let problem = HeaderValue::from_static("application/problem+json");
    if response.headers().get(header::CONTENT_TYPE) != Some(&problem) {
        return response;
    }
    refusal(response).await
}

async fn refusal(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // The body is in memory already.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    let (status, exception) = exception(parts.status);
    let json = serde_json::to_vec(&Refusal { message: message(&problem) });
    parts.status = status;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.headers.insert("x-amzn-errortype", HeaderValue::from_static(exception));
    Response::from_parts(parts, Body::from(json.expect("a message is a text")))
}

fn message(problem: &Problem) -> String {
    match (&problem.field, &problem.value, &problem.expected) {
        (Some(field), Some(value), Some(expected)) => {
            format!("{problem}: {field} is {value:?}, expected {expected}")
        }
        _ => problem.to_string(),
    }
}

/// Returns the status and the name of an exception of the gateway.
const fn exception(status: StatusCode) -> (StatusCode, &'static str) {
    match status {
        StatusCode::UNAUTHORIZED => (status, "UnauthorizedException"),
        StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => {
            (status, "AccessDeniedException")
        }
        StatusCode::NOT_FOUND => (status, "NotFoundException"),
        StatusCode::CONFLICT | StatusCode::PRECONDITION_FAILED => {
            (StatusCode::CONFLICT, "ConflictException")
        }
        StatusCode::UNPROCESSABLE_ENTITY => (StatusCode::BAD_REQUEST, "BadRequestException"),
        StatusCode::TOO_MANY_REQUESTS => (status, "TooManyRequestsException"),
        StatusCode::SERVICE_UNAVAILABLE => (status, "ServiceUnavailableException"),
        StatusCode::INTERNAL_SERVER_ERROR => (status, "InternalServerErrorException"),
        _ => (status, "BadRequestException"),
    }
}

fn is_signed(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"))
}

const SIGNED: &str = "the request has a signature of AWS, which this server does not check: send it \
    unsigned, with the header `Authorization: Bearer TOKEN` if the server needs a token";
