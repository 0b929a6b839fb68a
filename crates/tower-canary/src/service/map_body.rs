use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use pin_project_lite::pin_project;
use tower_service::Service;

/// Converts the responses of a service, so that they have the same body type as those of another
/// service.
///
/// Use it through [`UnifyBody`](crate::body::UnifyBody), `axum::AxumBody` or `tonic::TonicBody`,
/// which set `M`.
#[derive(Clone, Copy, Debug)]
pub struct MapBody<S, M> {
    inner: S,
    mapping: PhantomData<M>,
}

/// A conversion of responses, used by [`MapBody`].
pub trait BodyMapping<R> {
    /// The converted response.
    type Response;

    /// Converts a response.
    fn map(response: R) -> Self::Response;
}

impl<S, M> MapBody<S, M> {
    /// Wraps a service.
    pub const fn new(inner: S) -> Self {
        Self { inner, mapping: PhantomData }
    }
}

impl<S, M, Request> Service<Request> for MapBody<S, M>
where
    S: Service<Request>,
    M: BodyMapping<S::Response>,
{
    type Response = M::Response;
    type Error = S::Error;
    type Future = MapBodyFuture<S::Future, M>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        MapBodyFuture::new(self.inner.call(request))
    }
}

pin_project! {
    /// The future of [`MapBody`].
    pub struct MapBodyFuture<F, M> {
        #[pin]
        inner: F,
        mapping: PhantomData<M>,
    }
}

impl<F, M> MapBodyFuture<F, M> {
    pub(crate) const fn new(inner: F) -> Self {
        Self { inner, mapping: PhantomData }
    }
}

impl<F, M, R, E> Future for MapBodyFuture<F, M>
where
    F: Future<Output = Result<R, E>>,
    M: BodyMapping<R>,
{
    type Output = Result<M::Response, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Poll::Ready(ready!(self.project().inner.poll(cx)).map(M::map))
    }
}

impl<F, M> fmt::Debug for MapBodyFuture<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapBodyFuture").finish_non_exhaustive()
    }
}
