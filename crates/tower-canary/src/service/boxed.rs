use std::{
    fmt,
    marker::PhantomData,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use crate::{
    control::handle::CanaryHandle,
    service::{
        box_error::BoxError,
        canary_service::CanaryService,
        erased_body::{ErasedBody, ToErasedBody, into_erased},
        layer::CanaryLayer,
        map_body::MapBodyFuture,
        response_future::ResponseFuture,
    },
};

impl<C: 'static> CanaryLayer<C> {
    /// Boxes bodies, so that the layer composes with any other.
    ///
    /// The service then takes requests with any body, and its responses have the body type of the
    /// canary, which must be that of stable. So it fits into tower's `option_layer`, and a
    /// [fallback](crate::Fallback) works inside a layer that changes the type of request bodies:
    ///
    /// ```
    /// # #[cfg(feature = "axum")] {
    /// use axum::{Router, routing::get};
    /// use tower::util::option_layer;
    /// use tower_canary::CanaryLayer;
    ///
    /// let v1 = Router::new().route("/", get(|| async { "v1" }));
    /// let v2 = Router::new().route("/", get(|| async { "v2" }));
    ///
    /// let is_enabled = std::env::var("CANARY").is_ok();
    /// let layer = is_enabled.then(|| CanaryLayer::new("shop", v2));
    /// let canary = layer.as_ref().map(CanaryLayer::handle);
    /// let app: Router = v1.layer(option_layer(layer.map(CanaryLayer::boxed)));
    /// # let _ = (app, canary);
    /// # }
    /// ```
    ///
    /// It costs an allocation for each response body that the layer counts, and one for each request
    /// body of another type. axum and tonic do not box these bodies again.
    #[must_use]
    pub const fn boxed<B>(self) -> BoxedCanaryLayer<C, B>
    where
        C: Service<Request<B>, Response = Response<B>>,
        B: ErasedBody,
    {
        BoxedCanaryLayer { layer: self, body: PhantomData }
    }
}

/// A [`CanaryLayer`] that composes with any other; see [`CanaryLayer::boxed`].
pub struct BoxedCanaryLayer<C, B> {
    layer: CanaryLayer<C>,
    body: PhantomData<fn(B) -> B>,
}

impl<C: 'static, B> BoxedCanaryLayer<C, B> {
    /// Returns a handle that controls and observes the canary.
    #[must_use]
    pub fn handle(&self) -> CanaryHandle {
        self.layer.handle()
    }
}

impl<S, C: Clone, B> Layer<S> for BoxedCanaryLayer<C, B> {
    type Service = BoxedCanaryService<S, C, B>;

    fn layer(&self, stable: S) -> Self::Service {
        BoxedCanaryService { inner: self.layer.layer(stable), body: PhantomData }
    }
}

impl<C: Clone, B> Clone for BoxedCanaryLayer<C, B> {
    fn clone(&self) -> Self {
        Self { layer: self.layer.clone(), body: PhantomData }
    }
}

impl<C, B> fmt::Debug for BoxedCanaryLayer<C, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.layer.fmt(f)
    }
}

/// A [`CanaryService`] that takes requests with any body, and responds with bodies of type `B`.
///
/// [`BoxedCanaryLayer`] creates it.
pub struct BoxedCanaryService<S, C, B> {
    inner: CanaryService<S, C>,
    body: PhantomData<fn(B) -> B>,
}

impl<S, C, B, ReqBody> Service<Request<ReqBody>> for BoxedCanaryService<S, C, B>
where
    S: Service<Request<B>, Response = Response<B>> + Clone,
    C: Service<Request<B>, Response = Response<B>, Error: Into<S::Error>> + Clone,
    B: ErasedBody,
    ReqBody: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = MapBodyFuture<ResponseFuture<S, C, B>, ToErasedBody>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        MapBodyFuture::new(self.inner.call(request.map(into_erased)))
    }
}

impl<S: Clone, C: Clone, B> Clone for BoxedCanaryService<S, C, B> {
    fn clone(&self) -> Self {
        Self { inner: self.inner.clone(), body: PhantomData }
    }
}

impl<S, C, B> fmt::Debug for BoxedCanaryService<S, C, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}
