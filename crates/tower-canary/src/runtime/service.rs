use std::{
    fmt,
    future::poll_fn,
    num::NonZeroUsize,
    pin::pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use event_listener::EventListener;
use http::{Request, Response};
use http_body::Body;
use tokio::{
    runtime::Handle,
    sync::{mpsc, oneshot},
};
use tower_service::Service;

use crate::runtime::{
    body::{BodyMessage, BodyReceiver, RuntimeBody},
    future::{CallResult, RuntimeFuture},
    host::{AbortOnDrop, CallPermit, RuntimeHost},
};

/// Serves each call on a separate tokio runtime; see the [module documentation](crate::runtime).
pub struct OnRuntime<C> {
    canary: C,
    host: Arc<RuntimeHost>,
    waiting: Option<EventListener>,
    permit: Option<CallPermit>,
}

impl<C> OnRuntime<C> {
    /// Serves the calls of `canary` on the runtime of `handle`.
    pub fn new(handle: Handle, canary: C) -> Self {
        Self::with_host(canary, RuntimeHost::new(handle, DEFAULT_MAX_CALLS))
    }

    /// Sets the maximum number of calls on the runtime. The default is 4096.
    ///
    /// An abandoned call counts until the runtime drops its task, which a blocked runtime does not
    /// do. At the maximum the service is not ready.
    ///
    /// # Panics
    ///
    /// Panics if `calls` is zero.
    #[must_use]
    pub fn max_calls(self, calls: usize) -> Self {
        let Some(calls) = NonZeroUsize::new(calls) else {
            panic!("max_calls is zero: expected at least one call");
        };
        Self::with_host(self.canary, RuntimeHost::new(self.host.handle().clone(), calls))
    }

    fn with_host(canary: C, host: RuntimeHost) -> Self {
        Self { canary, host: Arc::new(host), waiting: None, permit: None }
    }
}

impl<C, ReqBody, ResBody> Service<Request<ReqBody>> for OnRuntime<C>
where
    C: Service<Request<ReqBody>, Response = Response<ResBody>, Error: Send, Future: Send>
        + Clone
        + Send
        + 'static,
    C::Error: 'static,
    ReqBody: Send + 'static,
    ResBody: Body<Data: Send, Error: Send> + Send + 'static,
{
    type Response = Response<RuntimeBody<ResBody::Data, ResBody::Error>>;
    type Error = C::Error;
    type Future = RuntimeFuture<ResBody::Data, ResBody::Error, C::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        if self.permit.is_none() {
            self.permit = Some(ready!(self.host.poll_permit(&mut self.waiting, cx)));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let permit = self.permit.take().expect("poll_ready returned Ready");
        let (sender, receiver) = oneshot::channel();
        let task = serve(self.canary.clone(), request, sender, permit);
        #[cfg(feature = "tracing")]
        let task = tracing::Instrument::in_current_span(task);
        RuntimeFuture::new(receiver, AbortOnDrop::new(self.host.handle().spawn(task)))
    }
}

/// A clone does not inherit the permit.
impl<C: Clone> Clone for OnRuntime<C> {
    fn clone(&self) -> Self {
        let host = Arc::clone(&self.host);
        Self { canary: self.canary.clone(), host, waiting: None, permit: None }
    }
}

impl<C> fmt::Debug for OnRuntime<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnRuntime").field("handle", self.host.handle()).finish_non_exhaustive()
    }
}

/// Serves one call. A failed send is ignored: the caller is gone, and the task is about to be
/// aborted.
async fn serve<C, ReqBody, ResBody>(
    mut canary: C,
    request: Request<ReqBody>,
    result: oneshot::Sender<CallResult<ResBody::Data, ResBody::Error, C::Error>>,
    permit: CallPermit,
) where
    C: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
{
    // Declared first and so dropped last, after the rest of the call.
    let _permit = permit;
    if let Err(error) = poll_fn(|cx| canary.poll_ready(cx)).await {
        let _ = result.send(Err(error));
        return;
    }
    let (head, body) = match canary.call(request).await {
        Ok(response) => response.into_parts(),
        Err(error) => {
            let _ = result.send(Err(error));
            return;
        }
    };
    let (sender, messages) = mpsc::channel(FRAMES);
    let is_at_end = body.is_end_stream();
    let receiver = BodyReceiver { messages, hint: body.size_hint(), is_at_end };
    if result.send(Ok(Response::from_parts(head, receiver))).is_err() || is_at_end {
        return;
    }
    let mut body = pin!(body);
    // Polls for a frame only when there is room for it, to keep the back-pressure of the server.
    while let Ok(slot) = sender.reserve().await {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            Some(frame) => {
                let is_last = frame.is_err() || body.is_end_stream();
                slot.send(BodyMessage::Frame { frame, hint: body.size_hint(), is_last });
                if is_last {
                    return;
                }
            }
            None => {
                slot.send(BodyMessage::End);
                return;
            }
        }
    }
}

/// The number of frames between the runtimes: one to be sent while the next one is produced.
const FRAMES: usize = 2;

/// A healthy canary needs fewer tasks. At this number, waiting tasks take tens of megabytes.
const DEFAULT_MAX_CALLS: NonZeroUsize = NonZeroUsize::new(4096).expect("4096 is not zero");
