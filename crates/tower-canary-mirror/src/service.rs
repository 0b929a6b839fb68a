use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_canary::body::ErasedBody;
use tower_service::Service;

use crate::{
    copy::{in_flight::InFlight, shadow_call::ShadowCall, stable_call::StableCall},
    findings::counts::DropReason,
    mirror::Mirror,
    target::Target,
};

/// Serves each request with stable and mirrors some of them to the canary.
///
/// [`MirrorLayer`](crate::MirrorLayer) creates it. It is ready when stable is ready, and has the
/// same request and response types.
pub struct MirrorService<S, C> {
    stable: S,
    mirror: Arc<Mirror>,
    target: Arc<Target<C>>,
}

impl<S, C> MirrorService<S, C> {
    pub(crate) const fn new(stable: S, mirror: Arc<Mirror>, target: Arc<Target<C>>) -> Self {
        Self { stable, mirror, target }
    }
}

impl<S, C, B, ResBody, CanaryBody> Service<Request<B>> for MirrorService<S, C>
where
    S: Service<Request<B>, Response = Response<ResBody>, Future: Send> + Clone + Send + 'static,
    C: Service<Request<B>, Response = Response<CanaryBody>, Future: Send> + Clone + Send + 'static,
    B: ErasedBody,
    ResBody: ErasedBody,
    CanaryBody: Body + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = MirrorFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.stable.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.mirror.share.draw() || !self.mirror.may_mirror(&request) {
            return MirrorFuture { stable: self.stable.call(request), call: None };
        }
        let in_flight = InFlight::new(Arc::clone(&self.mirror));
        let target = Arc::clone(&self.target);
        let canary = ShadowCall::new(move |request: &mut _| target.service_for(request));
        let noise = self.mirror.draw_noise().then(|| {
            let stable = self.stable.clone();
            ShadowCall::new(move |_: &mut _| stable)
        });
        let (request, call) = StableCall::begin(in_flight, request, canary, noise);
        MirrorFuture { stable: self.stable.call(request), call }
    }
}

/// A clone is ready if the clone of stable is.
impl<S: Clone, C> Clone for MirrorService<S, C> {
    fn clone(&self) -> Self {
        Self::new(self.stable.clone(), Arc::clone(&self.mirror), Arc::clone(&self.target))
    }
}

impl<S, C> fmt::Debug for MirrorService<S, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorService")
            .field("name", &self.mirror.name)
            .field("share", &self.mirror.share.get())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The future of [`MirrorService`].
    pub struct MirrorFuture<F> {
        #[pin]
        stable: F,
        // `None` if the request is not mirrored, and after stable responded.
        call: Option<Box<StableCall>>,
    }
}

impl<F, ResBody, E> Future for MirrorFuture<F>
where
    F: Future<Output = Result<Response<ResBody>, E>>,
    ResBody: ErasedBody,
{
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(call) = this.call else {
            return this.stable.poll(cx);
        };
        // If stable panics, the call is dropped with this reason.
        call.set_drop_reason(DropReason::StableFailed);
        let polled = this.stable.poll(cx);
        if polled.is_pending() {
            call.set_drop_reason(DropReason::CallerLeft);
        }
        let result = ready!(polled);
        let call = this.call.take();
        Poll::Ready(result.map(|response| match call {
            Some(call) => call.capture_response(response),
            None => response,
        }))
    }
}

impl<F> fmt::Debug for MirrorFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorFuture")
            .field("is_mirrored", &self.call.is_some())
            .finish_non_exhaustive()
    }
}
