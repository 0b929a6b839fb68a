use std::sync::Arc;

use axum::{
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};

use super::loopback;
use crate::{
    problem::{ApiError, Kind},
    shared::Shared,
};

/// Refuses requests that a website or another machine could have caused. It comes before everything
/// else, so that they learn nothing.
pub(crate) async fn guard(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    if let Err(error) = check(&shared, &parts) {
        return error.into_response();
    }
    next.run(Request::from_parts(parts, body)).await
}

fn check(shared: &Shared, parts: &http::request::Parts) -> Result<(), ApiError> {
    if shared.access.is_loopback() {
        loopback::check_caller(parts)?;
    } else if shared.hosts.is_empty() {
        // A website that binds its name to this address has no credentials to send.
        return Ok(());
    }
    let host = loopback::host(&parts.uri, &parts.headers).unwrap_or_default();
    let is_allowed = |allowed: &String| allowed.eq_ignore_ascii_case(host);
    let is_local = shared.access.is_loopback() && loopback::is_local(host);
    if is_local || shared.hosts.iter().any(is_allowed) {
        return Ok(());
    }
    let detail = "the host name is none that the server allows: see `Admin::allow_host`";
    let expected = if shared.access.is_loopback() {
        "localhost, 127.0.0.1, [::1] or an allowed host"
    } else {
        "an allowed host"
    };
    Err(ApiError::new(Kind::ForeignHost, detail).field("host", host, expected))
}
