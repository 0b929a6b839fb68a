//! Canaries in tonic.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{Request, Response};
use pin_project_lite::pin_project;
use tonic::{body::Body, server::NamedService};
use tower_service::Service;

use crate::service::{canary_service::CanaryService, response_body::BoxError};

/// Stable's name: `Server::builder().add_service(layer.layer(greeter))` needs one.
impl<S: NamedService, C> NamedService for CanaryService<S, C> {
    const NAME: &'static str = S::NAME;
}

/// Gives a service's responses tonic's own body type.
///
/// The two channels of a canary must have one: wrap a canary in this whose middleware has changed it,
/// [`OnRuntime`](crate::runtime::OnRuntime) among them.
///
/// ```ignore
/// let v2 = Routes::new(ShopServer::new(ShopV2)).prepare();
/// let v2 = TonicBody::new(OnRuntime::new(runtime.handle().clone(), v2));
/// let layer = CanaryLayer::new("shop", v2);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TonicBody<S> {
    inner: S,
}

impl<S> TonicBody<S> {
    /// Wraps a service.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for TonicBody<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = TonicBodyFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        TonicBodyFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// Future of [`TonicBody`].
    pub struct TonicBodyFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for TonicBodyFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: http_body::Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Output = Result<Response<Body>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.project().inner.poll(cx));
        Poll::Ready(result.map(|response| response.map(Body::new)))
    }
}

impl<F> fmt::Debug for TonicBodyFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TonicBodyFuture").finish_non_exhaustive()
    }
}
