//! Extractors whose errors are problems.

use std::{sync::Arc, time::Duration};

use axum::{
    RequestExt as _,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
};
use canary_controller::rollout::event::EventId;
use http::{HeaderMap, header, request::Parts};
use serde::de::DeserializeOwned;

use crate::{
    canary::Canary,
    problem::{ApiError, Kind},
    shared::Shared,
};

/// The canary that the path names.
pub(crate) struct NamedCanary(pub(crate) Arc<Canary>);

impl FromRequestParts<Arc<Shared>> for NamedCanary {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, shared: &Arc<Shared>) -> Result<Self, ApiError> {
        let path = Path::<String>::from_request_parts(parts, shared).await;
        let Path(name) = path.map_err(|error| ApiError::new(Kind::NotFound, error.body_text()))?;
        Self::find(shared, &name)
    }
}

impl NamedCanary {
    pub(crate) fn find(shared: &Shared, name: &str) -> Result<Self, ApiError> {
        shared.canaries.find(name).map(Self).ok_or_else(|| {
            let canaries = shared.canaries.all();
            let names: Vec<_> = canaries.iter().map(|canary| canary.name()).collect();
            let expected = if names.is_empty() { "none yet".to_owned() } else { names.join(", ") };
            ApiError::new(Kind::NotFound, "there is no canary of this name")
                .field("canary", name, &expected)
        })
    }
}

/// The parameters of the query.
pub(crate) struct Params<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        let Query(params) =
            query.map_err(|error| ApiError::new(Kind::Malformed, error.body_text()))?;
        Ok(Self(params))
    }
}

/// The body, which has to be JSON of at most 64 KiB.
pub(crate) struct JsonBody<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<Arc<Shared>> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &Arc<Shared>) -> Result<Self, ApiError> {
        check_content_type(request.headers())?;
        let body = request.with_limited_body().extract::<Bytes, _>();
        let bytes = tokio::time::timeout(BODY_TIME, body).await.map_err(|_| {
            ApiError::new(Kind::Timeout, format!("the body did not end within {BODY_TIME:?}"))
        })?;
        let bytes = bytes.map_err(|error| {
            let kind = match error.status() {
                http::StatusCode::PAYLOAD_TOO_LARGE => Kind::TooLarge,
                _ => Kind::Malformed,
            };
            ApiError::new(kind, error.body_text())
        })?;
        // Some programs write a byte order mark, which serde_json refuses.
        let json = bytes.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&bytes);
        let mut json = serde_json::Deserializer::from_slice(json);
        let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
            let path = error.path().to_string();
            let detail = error.inner().to_string();
            let kind = if error.inner().is_data() { Kind::Invalid } else { Kind::Malformed };
            // The message repeats the value, which can be that of a variable.
            ApiError::new(kind, detail).secret().with(|problem| {
                problem.field = (path != ".").then_some(path);
            })
        })?;
        let end = json.end();
        end.map_err(|error| ApiError::new(Kind::Malformed, error.to_string()))?;
        Ok(Self(value))
    }
}

/// A website can send other media types to any server without being asked first.
fn check_content_type(headers: &HeaderMap) -> Result<(), ApiError> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = value.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let count = headers.get_all(header::CONTENT_TYPE).iter().count();
    if count == 1 && media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "the body has to be JSON";
    Err(ApiError::new(Kind::MediaType, detail).field(
        "content-type",
        value.unwrap_or_default(),
        "application/json",
    ))
}

/// The event that the header `If-Match` names.
pub(crate) enum Seen {
    /// There is no such header.
    Nothing,
    /// The client wants no check.
    Any,
    Event(EventId),
}

impl<S: Sync> FromRequestParts<S> for Seen {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self::Nothing) };
        let text = value.to_str().unwrap_or_default().trim();
        if text == "*" {
            return Ok(Self::Any);
        }
        // Proxies that compress mark the tag as weak, which changes nothing for an event.
        let id = text.strip_prefix("W/").unwrap_or(text);
        let id = id.strip_prefix('"').and_then(|it| it.strip_suffix('"')).unwrap_or(id);
        id.parse().map(Self::Event).map_err(|_| {
            let expected = "the id of an event in quotes, such as \"17-1795510800000\", or *";
            ApiError::new(Kind::Malformed, "the header names no event")
                .field("if-match", text, expected)
        })
    }
}

const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// Long enough for 64 KiB over a slow line, so that no one can hold requests open for free.
const BODY_TIME: Duration = Duration::from_secs(20);
