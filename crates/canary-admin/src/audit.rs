//! The audit log: each command and each refusal, at the tracing target `canary::audit`.
//!
//! The events of a rollout are logged there by the controller. This adds who tried something in vain,
//! and commands that have no event. No line has a token or a value of a variable.

use axum::response::Response;
use http::{Method, StatusCode};

use crate::{access::Caller, problem::Reason};

/// Logs a response that refuses a request.
pub(crate) fn refusal(caller: Option<&Caller>, method: &Method, path: &str, response: &Response) {
    let status = response.status();
    if !is_refusal(status) {
        return;
    }
    let reason = response.extensions().get::<Reason>();
    let who = caller.map_or("", Caller::name);
    let path = crate::problem::shortened(path);
    tracing::warn!(
        target: "canary::audit",
        who,
        %method,
        path,
        status = status.as_u16(),
        problem = reason.map_or("", |reason| &reason.kind),
        detail = reason.map_or("", |reason| &reason.detail),
        "the API refused a request with {status}",
    );
}

/// Logs what an operator did, if it is not an event of the rollout.
pub(crate) fn done(caller: &Caller, canary: &str, what: &str, reason: &str) {
    tracing::info!(
        target: "canary::audit",
        who = caller.name(),
        canary,
        what,
        reason = crate::problem::shortened(reason),
        "{canary}: an operator has {what}",
    );
}

const fn is_refusal(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN
            | StatusCode::CONFLICT
            | StatusCode::PRECONDITION_FAILED
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::PRECONDITION_REQUIRED
            | StatusCode::TOO_MANY_REQUESTS
    )
}
