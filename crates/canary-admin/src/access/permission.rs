use std::{fmt, sync::Arc};

use axum::{
    extract::{FromRequestParts, Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use canary_api::{Operator, Role};
use canary_controller::Actor;
use http::{HeaderMap, Method, header, request::Parts};

use crate::{
    access::Access,
    page,
    problem::{ApiError, Kind},
    shared::Shared,
};

/// The operator who has sent the request.
#[derive(Clone)]
pub(crate) struct Caller {
    operator: Arc<Operator>,
    /// The head of the request, with its credentials.
    head: Arc<Parts>,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Caller").field(&self.operator).finish()
    }
}

impl Caller {
    /// Returns whether the credentials of the request still are those of the same operator.
    pub(crate) async fn is_still_known(&self, access: &Access) -> bool {
        access.operator(&self.head).await.is_some_and(|operator| operator == *self.operator)
    }

    pub(crate) fn operator(&self) -> &Operator {
        &self.operator
    }

    /// Refuses operators with a lower role.
    pub(crate) fn needs(&self, role: Role) -> Result<(), ApiError> {
        if self.operator.role >= role {
            return Ok(());
        }
        let (has, needed) = (self.operator.role.as_str(), role.as_str());
        let detail = format!("this needs the role {needed}, and {} has {has}", self.operator.name);
        Err(ApiError::new(Kind::Forbidden, detail))
    }

    /// Refuses operators who may not answer this gate.
    pub(crate) fn needs_gate(&self, gate: &str) -> Result<(), ApiError> {
        self.needs(Role::Approve)?;
        match &self.operator.gates {
            Some(gates) if !gates.iter().any(|own| own == gate) => {
                let detail = format!(
                    "{} may only answer the gates {}",
                    self.operator.name,
                    gates.join(", ")
                );
                Err(ApiError::new(Kind::Forbidden, detail).field("gate", gate, &gates.join(", ")))
            }
            _ => Ok(()),
        }
    }

    /// Returns the cause of the events that the caller's commands record.
    pub(crate) fn actor(&self) -> Actor {
        let name = &self.operator.name;
        if name.ends_with(BOT) { Actor::program(name) } else { Actor::person(name) }
    }

    pub(crate) fn role(&self) -> Role {
        self.operator.role
    }

    pub(crate) fn name(&self) -> &str {
        &self.operator.name
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| ApiError::new(Kind::Unauthorized, "the request has no operator"))
    }
}

/// Finds the operator of each request, and refuses requests without one before anything else is known
/// about them.
pub(crate) async fn authenticate(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let is_read = matches!(parts.method, Method::GET | Method::HEAD);
    if is_read && page::is_public(parts.uri.path()) {
        return next.run(Request::from_parts(parts, body)).await;
    }
    let caller = match identify(&shared, &parts).await {
        Ok(operator) => Caller { operator: Arc::new(operator), head: Arc::new(parts.clone()) },
        Err(error) => return error.into_response(),
    };
    parts.extensions.insert(caller.clone());
    let mut response = next.run(Request::from_parts(parts, body)).await;
    // For the audit log.
    response.extensions_mut().insert(caller);
    response
}

async fn identify(shared: &Shared, parts: &Parts) -> Result<Operator, ApiError> {
    let operator = shared.access.operator(parts).await;
    let token = bearer(&parts.headers);
    // A valid token passes, and a page without one is asked for it, so that no one who shares an
    // address with operators can lock them out.
    if operator.is_none() && token.is_some() && shared.throttle.blocks(parts) {
        let detail = "too many wrong tokens came from this address: wait, and try again";
        return Err(ApiError::new(Kind::TooMany, detail));
    }
    if operator.is_none() && token.is_some() && !shared.access.is_loopback() {
        shared.throttle.note(parts);
    }
    operator.ok_or_else(|| {
        let detail = match token {
            Some(_) => "the token is not valid",
            None => "the request needs the header `Authorization: Bearer TOKEN`",
        };
        ApiError::new(Kind::Unauthorized, detail)
    })
}

/// Returns the token of the request.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The end of the name of a program.
const BOT: &str = "[bot]";
