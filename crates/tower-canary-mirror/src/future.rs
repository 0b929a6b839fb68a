use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use crate::{any_body::AnyBody, counts::DropReason, recorded::RecordedCall};

pin_project! {
    /// Future of [`MirrorService`](crate::MirrorService): stable's, which leaves a copy behind.
    pub struct MirrorFuture<S, C, B>
    where
        S: Service<Request<B>>,
    {
        #[pin]
        inner: S::Future,
        // None for a call that is not copied, and once it was answered.
        call: Option<Box<RecordedCall<S, C, B>>>,
    }
}

impl<S, C, B> MirrorFuture<S, C, B>
where
    S: Service<Request<B>>,
{
    pub(super) const fn new(inner: S::Future, call: Option<Box<RecordedCall<S, C, B>>>) -> Self {
        Self { inner, call }
    }
}

impl<S, C, B, ResBody, CanaryBody> Future for MirrorFuture<S, C, B>
where
    S: Service<Request<B>, Response = Response<ResBody>, Future: Send> + Clone + Send + 'static,
    C: Service<Request<B>, Response = Response<CanaryBody>, Future: Send> + Clone + Send + 'static,
    B: AnyBody,
    ResBody: AnyBody,
    CanaryBody: Body + Send + 'static,
{
    type Output = Result<S::Response, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let Some(call) = this.call else {
            return this.inner.poll(cx);
        };
        // A copy that is dropped with this reason has seen stable panic.
        call.set_if_dropped(DropReason::StableFailed);
        let polled = this.inner.poll(cx);
        if polled.is_pending() {
            call.set_if_dropped(DropReason::CallerLeft);
        }
        let result = ready!(polled);
        let call = this.call.take();
        Poll::Ready(result.map(|response| match call {
            Some(call) => call.answered(response),
            None => response,
        }))
    }
}

impl<S: Service<Request<B>>, C, B> fmt::Debug for MirrorFuture<S, C, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MirrorFuture")
            .field("is_copied", &self.call.is_some())
            .finish_non_exhaustive()
    }
}
