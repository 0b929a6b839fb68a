use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::Request;
use pin_project_lite::pin_project;
use tower_service::Service;

/// Gives a service's responses axum's own body type.
///
/// `axum::serve` takes no other, so a [`CanaryService`](crate::CanaryService) around whole routers, the
/// mount that costs least, is served like this:
///
/// ```
/// use axum::{Router, ServiceExt, extract::Request, routing::get};
/// use tower::Layer;
/// use tower_canary::{CanaryLayer, axum::AxumBody};
///
/// let v1 = Router::new().route("/", get(|| async { "v1" })).with_state(());
/// let v2 = Router::new().route("/", get(|| async { "v2" }));
/// let app = AxumBody::new(CanaryLayer::new("checkout", v2).layer(v1));
/// let make_service = ServiceExt::<Request>::into_make_service(app);
/// // axum::serve(listener, make_service).await?;
/// # let _ = make_service;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct AxumBody<S> {
    inner: S,
}

impl<S> AxumBody<S> {
    /// Wraps a service.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S> Service<Request<Body>> for AxumBody<S>
where
    S: Service<Request<Body>, Response: IntoResponse>,
{
    type Response = Response;
    type Error = S::Error;
    type Future = AxumBodyFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        AxumBodyFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// Future of [`AxumBody`].
    pub struct AxumBodyFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, R, E> Future for AxumBodyFuture<F>
where
    F: Future<Output = Result<R, E>>,
    R: IntoResponse,
{
    type Output = Result<Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.project().inner.poll(cx));
        Poll::Ready(result.map(IntoResponse::into_response))
    }
}

impl<F> fmt::Debug for AxumBodyFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AxumBodyFuture").finish_non_exhaustive()
    }
}
