//! The audit log: each command and each refusal, at the tracing target `canary::audit`.
//!
//! The events of a rollout are logged there by the controller. This adds who tried something in vain,
//! and commands that have no event. No line has a token or a value of a variable.

use axum::{extract::Request, middleware::Next, response::Response};
use http::StatusCode;

use crate::{
    access::Caller,
    problem::{Reason, shortened},
};

/// Logs the refusals among the responses.
pub(crate) async fn refusals(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), shortened(request.uri().path()));
    let response = next.run(request).await;
    // The gateway's API gives some of them another status.
    let reason = response.extensions().get::<Reason>();
    if let Some(Reason { status, kind, detail }) = reason
        && is_refusal(*status)
    {
        tracing::warn!(
            target: "canary::audit",
            who = response.extensions().get::<Caller>().map_or("", Caller::name),
            %method,
            path,
            status = status.as_u16(),
            problem = kind,
            detail,
            "the API refused a request with {status}",
        );
    }
    response
}

/// Logs what an operator did, if it is not an event of the rollout.
pub(crate) fn done(caller: &Caller, canary: &str, what: &str, reason: &str) {
    tracing::info!(
        target: "canary::audit",
        who = caller.name(),
        canary,
        what,
        reason = shortened(reason),
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
            | StatusCode::MISDIRECTED_REQUEST
            | StatusCode::UNPROCESSABLE_ENTITY
            | StatusCode::PRECONDITION_REQUIRED
            | StatusCode::TOO_MANY_REQUESTS
    )
}
