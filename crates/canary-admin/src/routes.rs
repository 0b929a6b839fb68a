//! The resources of the API.

pub(crate) mod canaries;
pub(crate) mod commands;
pub(crate) mod drain;
pub(crate) mod events;
pub(crate) mod openapi;
pub(crate) mod plan;
pub(crate) mod points;
pub(crate) mod session;
pub(crate) mod variables;

use axum::{
    body::Bytes,
    response::{IntoResponse, Response},
};
use http::{HeaderValue, header};
use serde::Serialize;

/// A response of JSON that several clients share.
pub(crate) fn json_bytes(bytes: Bytes) -> Response {
    let json = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, json)], bytes).into_response()
}

/// A response of JSON.
pub(crate) fn json(value: &impl Serialize) -> Response {
    let json = serde_json::to_vec(value).expect("a view has texts and numbers only");
    json_bytes(json.into())
}
