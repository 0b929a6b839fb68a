use std::convert::Infallible;

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use http::{StatusCode, request::Parts};

use crate::{
    service::assignment::Assignment,
    variables::{TypedVariables, Variables},
};

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

/// Extracts the variables of the call's channel, as an [`Assignment`] does.
///
/// # Rejection
///
/// As for [`Assignment`].
impl<S: Sync> FromRequestParts<S> for Variables {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Self::Rejection> {
        let assignment = parts.extensions.get::<Assignment>();
        let assignment = assignment.ok_or((StatusCode::INTERNAL_SERVER_ERROR, MISSING))?;
        Ok(assignment.variables().clone())
    }
}

/// Extracts the variables of the call's channel as the service's own type.
///
/// # Rejection
///
/// As for [`Assignment`], and if the options name another type or none.
impl<T: 'static, S: Sync> FromRequestParts<S> for TypedVariables<T> {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Self::Rejection> {
        let variables = Variables::from_request_parts(parts, state).await?;
        Self::of(&variables).ok_or((StatusCode::INTERNAL_SERVER_ERROR, OF_ANOTHER_TYPE))
    }
}

const OF_ANOTHER_TYPE: &str = "the variables are not of this type: do the options of the `CanaryLayer` \
     name it by `typed_variables`?";
pub(super) const MISSING: &str = "no canary assigned this call: is a `CanaryLayer` applied to the route, \
     its path not bypassed, and the tag `request_extension` on?";
