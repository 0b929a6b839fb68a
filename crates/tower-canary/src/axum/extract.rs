use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{StatusCode, request::Parts};

use crate::{
    service::assignment::Assignment,
    variables::{TypedVariables, Variables},
};

/// Extracts the assignment of the call.
///
/// Extract `Option<Assignment>` in handlers that also serve calls without an assignment.
///
/// # Rejection
///
/// Responds with status 500 and the reason if the call has no assignment, because no
/// [`CanaryLayer`](crate::CanaryLayer) is applied to the route, the path is
/// [bypassed](crate::Bypass), or the [tag](crate::Tags::request_extension) is off.
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

/// Extracts the variables of the call's channel.
///
/// # Rejection
///
/// Rejects like the extractor of [`Assignment`].
impl<S: Sync> FromRequestParts<S> for Variables {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let assignment = parts.extensions.get::<Assignment>();
        let assignment = assignment.ok_or((StatusCode::INTERNAL_SERVER_ERROR, MISSING))?;
        Ok(assignment.variables().clone())
    }
}

/// Extracts the variables of the call's channel as a type of the application.
///
/// # Rejection
///
/// Rejects like the extractor of [`Assignment`], and with status 500 if the options name another
/// type or none.
impl<T: 'static, S: Sync> FromRequestParts<S> for TypedVariables<T> {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let variables = Variables::from_request_parts(parts, state).await?;
        Self::of(&variables).ok_or((StatusCode::INTERNAL_SERVER_ERROR, WRONG_TYPE))
    }
}

const WRONG_TYPE: &str = "the variables do not have this type: name it with \
     `CanaryOptions::typed_variables`";
pub(super) const MISSING: &str = "the call has no assignment: apply a `CanaryLayer` to the route, do not \
     bypass its path, and leave the tag `request_extension` on";
