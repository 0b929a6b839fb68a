use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::service::response_body::BoxError;

/// Gives a service's responses a body type that does not depend on the service.
///
/// The two channels of a canary must have one response type. Two routers have; two stacks of middleware,
/// of which one compresses, have not. Wrap both:
///
/// ```
/// use std::convert::Infallible;
///
/// use http::{Request, Response};
/// use http_body_util::{Empty, Full};
/// use tower::{Layer, service_fn};
/// use tower_canary::{CanaryLayer, UnifyBody};
///
/// let v1 = service_fn(|_: Request<()>| async {
///     Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::from("v1"))))
/// });
/// let v2 = service_fn(|_: Request<()>| async {
///     Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
/// });
/// let service = CanaryLayer::new("checkout", UnifyBody::new(v2)).layer(UnifyBody::new(v1));
/// # let _ = service;
/// ```
///
/// It costs an allocation per response. For axum there is `axum::AxumBody`, whose body is axum's own.
#[derive(Clone, Copy, Debug)]
pub struct UnifyBody<S> {
    inner: S,
}

impl<S> UnifyBody<S> {
    /// Wraps a service.
    pub const fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, ReqBody, ResBody> Service<Request<ReqBody>> for UnifyBody<S>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body<Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<UnifiedBody<ResBody::Data>>;
    type Error = S::Error;
    type Future = UnifyFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        UnifyFuture { inner: self.inner.call(request) }
    }
}

pin_project! {
    /// Future of [`UnifyBody`].
    pub struct UnifyFuture<F> {
        #[pin]
        inner: F,
    }
}

impl<F, B, E> Future for UnifyFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    type Output = Result<Response<UnifiedBody<B::Data>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let result = ready!(self.project().inner.poll(cx));
        Poll::Ready(result.map(|response| response.map(UnifiedBody::new)))
    }
}

impl<F> fmt::Debug for UnifyFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnifyFuture").finish_non_exhaustive()
    }
}

/// A response body of any type; see [`UnifyBody`].
pub struct UnifiedBody<D>(UnsyncBoxBody<D, BoxError>);

impl<D: bytes::Buf> UnifiedBody<D> {
    /// Boxes `body`.
    #[must_use]
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = D, Error: Into<BoxError>> + Send + 'static,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }
}

impl<D: bytes::Buf> Body for UnifiedBody<D> {
    type Data = D;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<D>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl<D> fmt::Debug for UnifiedBody<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnifiedBody").finish_non_exhaustive()
    }
}
