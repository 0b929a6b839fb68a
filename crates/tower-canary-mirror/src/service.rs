use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll},
};

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use crate::{
    any_body::AnyBody, future::MirrorFuture, layer::Target, recorded::RecordedCall, state::Mirror,
};

/// Serves each call by stable, and copies some of them to a canary.
///
/// Made by [`MirrorLayer`](crate::MirrorLayer); see the [crate's documentation](crate). It is ready when
/// stable is, and answers with stable's answers, of the same types.
pub struct MirrorService<S, C> {
    stable: S,
    mirror: Arc<Mirror>,
    target: Arc<Target<C>>,
}

impl<S, C> MirrorService<S, C> {
    pub(super) const fn new(stable: S, mirror: Arc<Mirror>, target: Arc<Target<C>>) -> Self {
        Self { stable, mirror, target }
    }
}

impl<S, C, B, ResBody, CanaryBody> Service<Request<B>> for MirrorService<S, C>
where
    S: Service<Request<B>, Response = Response<ResBody>, Future: Send> + Clone + Send + 'static,
    C: Service<Request<B>, Response = Response<CanaryBody>, Future: Send> + Clone + Send + 'static,
    B: AnyBody,
    ResBody: AnyBody,
    CanaryBody: Body + Send + 'static,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = MirrorFuture<S, C, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.stable.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        if !self.mirror.share.draw() {
            return MirrorFuture::new(self.stable.call(request), None);
        }
        let (head, body) = request.into_parts();
        let Some(ticket) = self.mirror.admit(&head) else {
            return MirrorFuture::new(self.stable.call(Request::from_parts(head, body)), None);
        };
        let second = self.mirror.draw_second().then(|| self.stable.clone());
        let target = Arc::clone(&self.target);
        let (request, call) =
            RecordedCall::begin(ticket, Request::from_parts(head, body), target, second);
        MirrorFuture::new(self.stable.call(request), call)
    }
}

/// A clone starts unready, if a clone of stable does.
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
