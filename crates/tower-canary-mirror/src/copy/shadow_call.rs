use std::{
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Bytes;
use canary_core::Channel;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Empty};
use tower_canary::{
    body::{ErasedBody, ReplayBody},
    internal::{catch, discard},
};
use tower_service::Service;

#[cfg(feature = "tracing")]
use crate::copy::span;
use crate::{
    compare::captured_response::CapturedResponse,
    copy::{budget::Reservation, capture::Capture},
    framing::{content_length, has_no_body},
    mirror::Mirror,
};

/// The body of a mirrored request.
pub(crate) type ShadowBody = ReplayBody<Empty<Bytes>>;

/// A call of a service whose response is captured and discarded.
///
/// It erases the types of the service and its bodies.
pub(crate) struct ShadowCall(Box<SendRequest>);

type SendRequest = dyn FnOnce(Request<ShadowBody>, Arc<Mirror>) -> ResponseFuture + Send + 'static;
type ResponseFuture = Pin<Box<dyn Future<Output = Result<ShadowResponse, ShadowError>> + Send>>;

/// The response to a [`ShadowCall`].
pub(crate) struct ShadowResponse {
    pub(crate) response: CapturedResponse,
    /// The time from readiness of the service to the response head.
    pub(crate) latency: Duration,
    _reservation: Reservation,
}

/// The reason why a [`ShadowCall`] has no complete response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum ShadowError {
    Failed,
    Panicked,
    TimedOut,
    /// The runtime has no timers.
    Runtime,
}

impl ShadowCall {
    /// Prepares a call of the service that `service` returns for a request.
    pub(crate) fn new<S, B, ResBody>(
        service: impl FnOnce(&mut Request<B>) -> S + Send + 'static,
    ) -> Self
    where
        S: Service<Request<B>, Response = Response<ResBody>, Future: Send> + Send + 'static,
        B: ErasedBody,
        ResBody: Body + Send + 'static,
    {
        Self(Box::new(move |request, mirror| {
            Box::pin(async move {
                let mut request = request.map(B::from_body);
                let service = service(&mut request);
                call(service, request, &mirror).await
            })
        }))
    }

    /// Sends `request` and captures the response, within the time limit. Catches panics.
    pub(crate) async fn send(
        self,
        request: Request<ShadowBody>,
        channel: Channel,
        mirror: &Arc<Mirror>,
    ) -> Result<ShadowResponse, ShadowError> {
        let mut response = DiscardOnDrop(Some((self.0)(request, Arc::clone(mirror))));
        let response = poll_fn(move |cx| {
            catch(|| response.as_mut().poll(cx)).unwrap_or(Poll::Ready(Err(ShadowError::Panicked)))
        });
        #[cfg(feature = "tracing")]
        let response = tracing::Instrument::instrument(response, span::new(mirror, channel));
        #[cfg(not(feature = "tracing"))]
        let _ = channel;
        let limit = mirror.options.time_limit;
        let Ok(response) = catch(|| tokio::time::timeout(limit, response)) else {
            return Err(ShadowError::Runtime);
        };
        response.await.unwrap_or(Err(ShadowError::TimedOut))
    }
}

/// A future whose destructor may panic.
struct DiscardOnDrop(Option<ResponseFuture>);

impl DiscardOnDrop {
    fn as_mut(
        &mut self,
    ) -> Pin<&mut (dyn Future<Output = <ResponseFuture as Future>::Output> + '_)> {
        self.0.as_mut().expect("only drop takes it").as_mut()
    }
}

impl Drop for DiscardOnDrop {
    fn drop(&mut self) {
        discard(|| drop(self.0.take()));
    }
}

/// Calls a service that is not ready yet and captures its response up to the limit.
async fn call<S, B, ResBody>(
    mut service: S,
    request: Request<B>,
    mirror: &Mirror,
) -> Result<ShadowResponse, ShadowError>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    ResBody: Body,
{
    let method = request.method().clone();
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(|_| ShadowError::Failed)?;
    let started = Instant::now();
    let response = service.call(request).await.map_err(|_| ShadowError::Failed)?;
    let latency = started.elapsed();
    let (head, body) = response.into_parts();
    let mut response = CapturedResponse::new(&head);
    let captured =
        |response, reservation| Ok(ShadowResponse { response, latency, _reservation: reservation });
    if has_no_body(&method, head.status) {
        return captured(response, mirror.reservation());
    }
    let announced = content_length(&head.headers, &body);
    let mut body = pin!(body);
    let mut capture = Capture::new(mirror.options.response_limit, mirror.reservation());
    let mut frames = 0_u32;
    let trailers = loop {
        let frame = match body.frame().await {
            None => break None,
            Some(Ok(frame)) => frame,
            Some(Err(_)) => return Err(ShadowError::Failed),
        };
        let data = match frame.into_data() {
            Ok(data) => data,
            Err(frame) => break frame.into_trailers().ok(),
        };
        if capture.push_all(data).is_err() {
            response.set_body(None, None);
            return captured(response, mirror.reservation());
        }
        frames = frames.wrapping_add(1);
        if frames.is_multiple_of(FRAMES_PER_YIELD) {
            // An endless body that is always ready must neither block the thread nor evade the time
            // limit.
            tokio::task::yield_now().await;
        }
    };
    let (bytes, reservation) = capture.finish();
    if announced.is_some_and(|length| length != bytes.len() as u64) {
        // A server could not send this response completely.
        return Err(ShadowError::Failed);
    }
    response.set_body(Some(bytes), trailers);
    captured(response, reservation)
}

/// Reading this many frames takes some tens of microseconds.
const FRAMES_PER_YIELD: u32 = 32;
