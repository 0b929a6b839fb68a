//! The audit log: each command, each refusal and each failed change, at the tracing target
//! `canary::audit`.
//!
//! The events of a rollout are logged there by the controller. This adds who tried something in vain,
//! and commands that have no event. No line has a token or a value of a variable.

use std::sync::{Arc, Mutex, PoisonError};

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::Response,
};
use http::{Method, StatusCode};
use tokio::time::Instant;

use crate::{
    access::Caller,
    budget::Budget,
    problem::{Reason, shortened},
    shared::Shared,
};

/// Logs the refusals among the responses.
pub(crate) async fn refusals(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let (method, path) = (request.method().clone(), shortened(request.uri().path()));
    let response = next.run(request).await;
    // The gateway's API gives some of them another status.
    let reason = response.extensions().get::<Reason>();
    let status = reason.map_or(response.status(), |reason| reason.status);
    let is_change = !matches!(method, Method::GET | Method::HEAD);
    if !(is_refusal(status) || is_change && is_failure(status)) {
        return response;
    }
    let who = response.extensions().get::<Caller>().map_or("", Caller::name);
    let Some(left_out) = shared.outsiders.admit(who) else { return response };
    tracing::warn!(
        target: "canary::audit",
        who,
        %method,
        path,
        status = status.as_u16(),
        problem = reason.map(|reason| &*reason.kind),
        detail = reason.map(|reason| &*reason.detail),
        left_out,
        "the API refused a request with {status}",
    );
    response
}

/// Limits the lines about callers without a name, who could fill the log otherwise: ten, and then one
/// per second.
#[derive(Default)]
pub(crate) struct Outsiders(Mutex<Lines>);

#[derive(Default)]
struct Lines {
    budget: Option<Budget>,
    left_out: u64,
}

impl Outsiders {
    /// Returns the number of lines that were left out before the next one; `None` if that is left out,
    /// too. A line about a caller with a name is never left out.
    pub(crate) fn admit(&self, who: &str) -> Option<u64> {
        if !who.is_empty() {
            return Some(0);
        }
        let now = Instant::now();
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !lines.budget.get_or_insert_with(|| Budget::new(now)).take(now) {
            lines.left_out += 1;
            return None;
        }
        Some(std::mem::take(&mut lines.left_out))
    }
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

fn is_failure(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
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
