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
    body::{Pumped, Sent},
    future::{Answer, RuntimeFuture},
    life::{Host, Place, Task},
};

/// Serves each call on a tokio runtime of its own; see the [module's documentation](crate::runtime).
pub struct OnRuntime<C> {
    canary: C,
    host: Arc<Host>,
    waiting: Option<EventListener>,
    place: Option<Place>,
}

impl<C> OnRuntime<C> {
    /// Serves the calls of `canary` on the runtime of `handle`.
    pub fn new(handle: Handle, canary: C) -> Self {
        Self::hosted(canary, Host::new(handle, DEFAULT_MAX_CALLS))
    }

    /// The most calls that may be on the runtime: 4096 unless told.
    ///
    /// Those count whose callers have left, until the runtime has come round to dropping them, which one
    /// that is stuck does not. Beyond it, the service is not ready.
    ///
    /// # Panics
    ///
    /// If `calls` is zero.
    #[must_use]
    pub fn max_calls(self, calls: usize) -> Self {
        let Some(calls) = NonZeroUsize::new(calls) else {
            panic!("max_calls is zero: expected at least one call");
        };
        Self::hosted(self.canary, Host::new(self.host.handle().clone(), calls))
    }

    fn hosted(canary: C, host: Host) -> Self {
        Self { canary, host: Arc::new(host), waiting: None, place: None }
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
    type Response = Response<crate::runtime::RuntimeBody<ResBody::Data, ResBody::Error>>;
    type Error = C::Error;
    type Future = RuntimeFuture<ResBody::Data, ResBody::Error, C::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        if self.place.is_none() {
            self.place = Some(ready!(self.host.poll_place(&mut self.waiting, cx)));
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReqBody>) -> Self::Future {
        let place = self.place.take().expect("poll_ready returned Ready");
        let (answer, receiver) = oneshot::channel();
        let task = serve(self.canary.clone(), request, answer, place);
        #[cfg(feature = "tracing")]
        let task = tracing::Instrument::in_current_span(task);
        RuntimeFuture::new(receiver, Task::new(self.host.handle().spawn(task)))
    }
}

/// A clone has no place yet.
impl<C: Clone> Clone for OnRuntime<C> {
    fn clone(&self) -> Self {
        let host = Arc::clone(&self.host);
        Self { canary: self.canary.clone(), host, waiting: None, place: None }
    }
}

impl<C> fmt::Debug for OnRuntime<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OnRuntime").field("handle", self.host.handle()).finish_non_exhaustive()
    }
}

/// The task of one call. Nobody listens any more, if sending fails: it is about to be aborted.
async fn serve<C, ReqBody, ResBody>(
    mut canary: C,
    request: Request<ReqBody>,
    answer: oneshot::Sender<Answer<ResBody::Data, ResBody::Error, C::Error>>,
    place: Place,
) where
    C: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
{
    // Given back last, when all else of the call is dropped.
    let _place = place;
    if let Err(error) = poll_fn(|cx| canary.poll_ready(cx)).await {
        let _ = answer.send(Err(error));
        return;
    }
    let (head, body) = match canary.call(request).await {
        Ok(response) => response.into_parts(),
        Err(error) => {
            let _ = answer.send(Err(error));
            return;
        }
    };
    let (frames, receiver) = mpsc::channel(FRAMES);
    let is_at_end = body.is_end_stream();
    let pumped = Pumped { frames: receiver, hint: body.size_hint(), is_at_end };
    if answer.send(Ok(Response::from_parts(head, pumped))).is_err() || is_at_end {
        return;
    }
    let mut body = pin!(body);
    // A frame is made when there is room for it, as a server polls a body.
    while let Ok(room) = frames.reserve().await {
        match poll_fn(|cx| body.as_mut().poll_frame(cx)).await {
            Some(frame) => {
                let is_last = frame.is_err() || body.is_end_stream();
                room.send(Sent::Frame(frame, body.size_hint(), is_last));
                if is_last {
                    return;
                }
            }
            None => {
                room.send(Sent::End);
                return;
            }
        }
    }
}

/// Frames on their way between the runtimes: one that is sent, and one that is made meanwhile.
const FRAMES: usize = 2;

/// Some tens of megabytes of waiting tasks: more than a healthy canary has, and not enough to harm.
const DEFAULT_MAX_CALLS: NonZeroUsize = NonZeroUsize::new(4096).expect("not zero");
