use std::{any::Any, sync::Arc};

use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    middleware,
    response::{IntoResponse as _, Response},
};
use http::{HeaderName, HeaderValue};
use tower_http::{
    catch_panic::CatchPanicLayer,
    csrf::{CsrfLayer, ProtectionError},
    set_header::SetResponseHeaderLayer,
};

use crate::{
    access::{authenticate, guard},
    audit, document, gateway, page,
    problem::{ApiError, Kind},
    routes::openapi::OpenApiJson,
    shared::Shared,
};

/// Creates the router. A request passes the layers from the last one to the first.
pub(crate) fn new(shared: &Arc<Shared>) -> Router {
    let (api, document) = document::api();
    let document = OpenApiJson(document.into());
    let router = api
        .layer(Extension(document))
        .merge(page::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES))
        // Within the authentication, so that the audit log names the operator.
        .layer(catch_panics())
        .layer(middleware::from_fn_with_state(Arc::clone(shared), authenticate))
        .layer(
            CsrfLayer::new()
                .with_rejection_response(|error: ProtectionError| foreign_origin(&error)),
        )
        .layer(middleware::from_fn_with_state(Arc::clone(shared), guard))
        .layer(catch_panics())
        .layer(middleware::from_fn_with_state(Arc::clone(shared), audit::refusals))
        .layer(middleware::from_fn(gateway::translate));
    with_security_headers(router).with_state(Arc::clone(shared))
}

fn with_security_headers(router: Router<Arc<Shared>>) -> Router<Arc<Shared>> {
    SECURITY_HEADERS.iter().fold(router, |router, (name, value)| {
        let (name, value) = (HeaderName::from_static(name), HeaderValue::from_static(value));
        router.layer(SetResponseHeaderLayer::if_not_present(name, value))
    })
}

async fn not_found() -> ApiError {
    ApiError::no_such_path()
}

async fn wrong_method(method: http::Method) -> ApiError {
    ApiError::new(Kind::Method, format!("the resource does not have the method {method}"))
}

pub(crate) fn foreign_origin(error: &ProtectionError) -> Response {
    ApiError::new(Kind::ForeignOrigin, error.to_string()).into_response()
}

type OnPanic = fn(Box<dyn Any + Send>) -> Response;

/// Makes a panic a problem of its request only.
pub(crate) fn catch_panics() -> CatchPanicLayer<OnPanic> {
    CatchPanicLayer::custom(|panic| panicked(&*panic))
}

fn panicked(panic: &(dyn Any + Send)) -> Response {
    let message = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied());
    tracing::error!(
        target: "canary_admin", "a request has panicked: {}", message.unwrap_or_default(),
    );
    let detail = "the server has failed to answer: its log has the reason";
    ApiError::new(Kind::Internal, detail).into_response()
}

const MAX_BODY_BYTES: usize = 64 * 1024;

const SECURITY_HEADERS: [(&str, &str); 4] = [
    (
        "content-security-policy",
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cache-control", "no-store"),
];
