use axum::{
    body::{Body, to_bytes},
    extract::{FromRequestParts, Request},
    middleware::Next,
    response::Response,
};
use canary_api::Problem;
use http::{HeaderMap, HeaderValue, StatusCode, header, request::Parts};
use serde::Serialize;

use crate::problem::{ApiError, Kind, sentence};

/// The body of an error response, as the gateway has it. The header `x-amzn-errortype` names the
/// exception.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Refusal {
    /// What is wrong, and what was expected.
    message: String,
}

/// Gives the error responses of the gateway's API, from wherever they come, the form that its clients
/// read.
pub(crate) async fn translate(request: Request, next: Next) -> Response {
    if !request.uri().path().starts_with("/restapis/") {
        return next.run(request).await;
    }
    let is_signed = is_signed(request.headers());
    let response = next.run(request).await;
    let problem = HeaderValue::from_static("application/problem+json");
    if response.headers().get(header::CONTENT_TYPE) != Some(&problem) {
        return response;
    }
    refusal(response, is_signed).await
}

async fn refusal(response: Response, is_signed: bool) -> Response {
    let (mut parts, body) = response.into_parts();
    // The body is in memory already.
    let body = to_bytes(body, usize::MAX).await.unwrap_or_default();
    let problem: Problem = serde_json::from_slice(&body).unwrap_or_default();
    let message = if is_signed && parts.status == StatusCode::UNAUTHORIZED {
        SIGNED.to_owned()
    } else {
        sentence(&problem)
    };
    let (status, exception) = exception(parts.status);
    let json = serde_json::to_vec(&Refusal { message });
    parts.status = status;
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    parts.headers.insert("x-amzn-errortype", HeaderValue::from_static(exception));
    Response::from_parts(parts, Body::from(json.expect("a message is a text")))
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

/// Refuses a signed request. Its author relies on a check of the signature.
pub(crate) struct Unsigned;

impl<S: Sync> FromRequestParts<S> for Unsigned {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        if is_signed(&parts.headers) {
            return Err(ApiError::new(Kind::Unauthorized, SIGNED));
        }
        Ok(Self)
    }
}

fn is_signed(headers: &HeaderMap) -> bool {
    headers.get(header::AUTHORIZATION).is_some_and(|value| value.as_bytes().starts_with(b"AWS4-"))
}

const SIGNED: &str = "the request has a signature of AWS, which this server does not check: send it \
    unsigned, with the header `Authorization: Bearer TOKEN` if the server needs a token";
