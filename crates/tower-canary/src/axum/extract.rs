use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{StatusCode, request::Parts};

use crate::Assignment;

/// Extracts how the call was assigned.
///
/// Extract `Option<Assignment>` in handlers that also serve calls which no canary assigned.
///
/// # Rejection
///
/// 500, with a text that says why, if there is none: no [`CanaryLayer`](crate::CanaryLayer) is applied to
/// the route, the path is [bypassed](crate::Bypass), or the
/// [tag](crate::Tags::request_extension) is off.
impl<S: Sync> FromRequestParts<S> for Assignment {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        parts.extensions.get().cloned().ok_or((StatusCode::INTERNAL_SERVER_ERROR, MISSING))
    }
}

impl<S: Sync> OptionalFromRequestParts<S> for Assignment {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Infallible> {
        Ok(parts.extensions.get().cloned())
    }
}

const MISSING: &str = "no canary assigned this call: is a `CanaryLayer` applied to the route, \
     its path not bypassed, and the tag `request_extension` on?";
