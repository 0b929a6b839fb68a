//! Error responses.

use axum::response::{IntoResponse, Response};
use canary_api::{EventId, Problem};
use http::{HeaderValue, StatusCode, header};

/// The kinds of problems. Programs decide by the kind, so a kind never changes its name.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    Malformed,
    Unauthorized,
    Forbidden,
    ForeignCaller,
    ForeignOrigin,
    ForeignHost,
    NotFound,
    NotStored,
    Method,
    Timeout,
    Refused,
    Changed,
    TooLarge,
    MediaType,
    Invalid,
    LatestNeeded,
    TooMany,
    Internal,
    Storage,
}

impl Kind {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => {
                (StatusCode::BAD_REQUEST, "/problems/malformed", "The request is malformed")
            }
            Self::Unauthorized => (
                StatusCode::UNAUTHORIZED,
                "/problems/unauthorized",
                "The request has no valid credentials",
            ),
            Self::Forbidden => {
                (StatusCode::FORBIDDEN, "/problems/forbidden", "The role does not allow this")
            }
            Self::ForeignCaller => (
                StatusCode::FORBIDDEN,
                "/problems/foreign-caller",
                "The request is not from this machine",
            ),
            Self::ForeignOrigin => (
                StatusCode::FORBIDDEN,
                "/problems/foreign-origin",
                "The request is from another website",
            ),
            Self::ForeignHost => (
                StatusCode::MISDIRECTED_REQUEST,
                "/problems/foreign-host",
                "The server does not answer to this host name",
            ),
            Self::NotFound => {
                (StatusCode::NOT_FOUND, "/problems/not-found", "There is no such resource")
            }
            Self::NotStored => {
                (StatusCode::GONE, "/problems/not-stored", "The event is no longer stored")
            }
            Self::Method => (
                StatusCode::METHOD_NOT_ALLOWED,
                "/problems/method",
                "The resource does not have this method",
            ),
            Self::Timeout => {
                (StatusCode::REQUEST_TIMEOUT, "/problems/timeout", "The request takes too long")
            }
            Self::Refused => (
                StatusCode::CONFLICT,
                "/problems/refused",
                "The state of the rollout does not allow this",
            ),
            Self::Changed => (
                StatusCode::PRECONDITION_FAILED,
                "/problems/changed",
                "The rollout has changed since",
            ),
            Self::TooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, "/problems/too-large", "The request is too large")
            }
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "/problems/media-type",
                "The request has another media type",
            ),
            Self::Invalid => {
                (StatusCode::UNPROCESSABLE_ENTITY, "/problems/invalid", "A value is invalid")
            }
            Self::LatestNeeded => (
                StatusCode::PRECONDITION_REQUIRED,
                "/problems/latest-needed",
                "The request must name the latest event",
            ),
            Self::TooMany => {
                (StatusCode::TOO_MANY_REQUESTS, "/problems/too-many", "There are too many requests")
            }
            Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "/problems/internal", "The server has a fault")
            }
            Self::Storage => (
                StatusCode::SERVICE_UNAVAILABLE,
                "/problems/storage",
                "The state of the rollout cannot be read or stored",
            ),
        }
    }
}

/// An error response with a [`Problem`] as its body.
#[derive(Debug)]
pub(crate) struct ApiError {
    status: StatusCode,
    problem: Box<Problem>,
    retry_after_s: Option<u32>,
    is_secret: bool,
}

/// The extension of an error response, from which the audit log learns the reason.
#[derive(Clone, Debug)]
pub(crate) struct Reason {
    pub(crate) status: StatusCode,
    pub(crate) kind: String,
    pub(crate) detail: String,
}

impl ApiError {
    pub(crate) fn no_such_path() -> Self {
        Self::new(Kind::NotFound, "there is no such path: see openapi.json")
    }

    pub(crate) fn new(kind: Kind, detail: impl Into<String>) -> Self {
        let (status, kind_uri, title) = kind.parts();
        let problem = Problem {
            kind: kind_uri.to_owned(),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            ..Problem::default()
        };
        let retry_after_s = matches!(kind, Kind::Storage | Kind::TooMany).then_some(RETRY_AFTER_S);
        Self { status, problem: Box::new(problem), retry_after_s, is_secret: false }
    }

    /// Names the wrong field, parameter or header, its value and what it can be.
    pub(crate) fn field(mut self, field: &str, value: &str, expected: &str) -> Self {
        self.problem.field = Some(field.to_owned());
        self.problem.value = Some(shortened(value));
        self.problem.expected = Some(expected.to_owned());
        self
    }

    #[cfg(feature = "grpc")]
    pub(crate) fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Keeps the detail out of the audit log, because it can contain values of variables.
    pub(crate) const fn secret(mut self) -> Self {
        self.is_secret = true;
        self
    }

    pub(crate) fn latest(mut self, latest: Option<EventId>) -> Self {
        self.problem.latest = latest;
        self
    }

    pub(crate) fn with(mut self, change: impl FnOnce(&mut Problem)) -> Self {
        change(&mut self.problem);
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let json = serde_json::to_vec(&self.problem).expect("a problem has texts and numbers only");
        let content_type = HeaderValue::from_static("application/problem+json");
        let mut response =
            (self.status, [(header::CONTENT_TYPE, content_type)], json).into_response();
        let headers = response.headers_mut();
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        let detail = if self.is_secret { String::new() } else { self.problem.detail };
        response.extensions_mut().insert(Reason {
            status: self.status,
            kind: self.problem.kind,
            detail,
        });
        response
    }
}

/// Returns a problem as one sentence, for protocols that have no more than that.
pub(crate) fn sentence(problem: &Problem) -> String {
    match (&problem.field, &problem.value, &problem.expected) {
        (Some(field), Some(value), Some(expected)) => {
            format!("{problem}: {field} is {value:?}, expected {expected}")
        }
        _ => problem.to_string(),
    }
}

/// Cuts a text to 256 bytes.
pub(crate) fn shortened(text: &str) -> String {
    let end = (0..=MAX_VALUE_BYTES.min(text.len())).rev().find(|end| text.is_char_boundary(*end));
    text[..end.unwrap_or(0)].to_owned()
}

const MAX_VALUE_BYTES: usize = 256;

/// Long enough for a store to recover from a short fault, and for a stream to end.
const RETRY_AFTER_S: u32 = 2;
