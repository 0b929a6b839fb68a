use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request};
use tower_canary::{body::ErasedBody, internal::catch};

use crate::{
    compare::captured_response::CapturedResponse,
    copy::{
        budget::Reservation,
        capture::{Capture, CaptureError},
        exchange::{CapturedRequest, Exchange},
        in_flight::InFlight,
        shadow_call::ShadowCall,
        tap::{Sink, Tap},
    },
    findings::counts::DropReason,
    framing::{content_length, has_no_body},
};

/// A call of stable that is being captured.
pub(crate) struct StableCall {
    in_flight: InFlight,
    head: request::Parts,
    request_body: SharedCapture,
    canary: ShadowCall,
    /// Sends the request to stable again, to measure noise.
    noise: Option<ShadowCall>,
    started: Instant,
    reservation: Reservation,
}

/// The result of capturing the request body. `None` until the body has ended.
type SharedCapture = Arc<Mutex<Option<RequestCapture>>>;

enum RequestCapture {
    Complete { bytes: Bytes, trailers: Option<HeaderMap>, reservation: Reservation },
    Failed(DropReason),
}

impl StableCall {
    /// Starts to capture a call. Returns the request for stable, and the call unless it was
    /// dropped.
    pub(crate) fn begin<B: ErasedBody>(
        in_flight: InFlight,
        request: Request<B>,
        canary: ShadowCall,
        noise: Option<ShadowCall>,
    ) -> (Request<B>, Option<Box<Self>>) {
        let (head, body) = request.into_parts();
        let mirror = in_flight.mirror();
        let mut reservation = mirror.reservation();
        let path = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
        if reservation.grow(OVERHEAD + path + size_of_headers(&head.headers)).is_err() {
            in_flight.drop_as(DropReason::MemoryFull);
            return (Request::from_parts(head, body), None);
        }
        let request_body = SharedCapture::default();
        let capture = Capture::new(mirror.options.request_limit, mirror.reservation());
        let sink = RequestSink { capture, result: Arc::clone(&request_body) };
        let body = if body.is_end_stream() {
            sink.finish(None);
            body
        } else {
            B::from_body(Tap::new(body, sink))
        };
        let call = Self {
            in_flight,
            head: head.clone(),
            request_body,
            canary,
            noise,
            started: Instant::now(),
            reservation,
        };
        (Request::from_parts(head, body), Some(Box::new(call)))
    }

    pub(crate) fn set_drop_reason(&mut self, reason: DropReason) {
        self.in_flight.set_drop_reason(reason);
    }

    /// Captures the response of stable while the caller reads it.
    pub(crate) fn capture_response<B: ErasedBody>(
        mut self: Box<Self>,
        response: Response<B>,
    ) -> Response<B> {
        let latency = self.started.elapsed();
        let failed = match *lock(&self.request_body) {
            Some(RequestCapture::Failed(reason)) => Some(reason),
            Some(RequestCapture::Complete { .. }) | None => None,
        };
        if let Some(reason) = failed {
            self.in_flight.drop_as(reason);
            return response;
        }
        let (head, body) = response.into_parts();
        if self.reservation.grow(size_of_headers(&head.headers)).is_err() {
            self.in_flight.drop_as(DropReason::MemoryFull);
            return Response::from_parts(head, body);
        }
        self.in_flight.set_drop_reason(DropReason::CallerLeft);
        let is_complete = has_no_body(&self.head.method, head.status) || body.is_end_stream();
        let answered = AnsweredCall { response: CapturedResponse::new(&head), latency, call: self };
        if is_complete {
            answered.mirror();
            return Response::from_parts(head, body);
        }
        let mirror = answered.call.in_flight.mirror();
        let sink = ResponseSink {
            capture: Some(Capture::new(mirror.options.response_limit, mirror.reservation())),
            missing: content_length(&head.headers, &body),
            call: Some(answered),
        };
        Response::from_parts(head, B::from_body(Tap::new(body, sink)))
    }
}

/// A call of stable that has a response head.
struct AnsweredCall {
    response: CapturedResponse,
    /// The time to the response head.
    latency: Duration,
    call: Box<StableCall>,
}

impl AnsweredCall {
    /// Sends the request to the canary if it was captured completely.
    fn mirror(self) {
        let Self { response, latency, call } = self;
        let StableCall { in_flight, head, request_body, canary, noise, mut reservation, .. } =
            *call;
        let captured = lock(&request_body).take();
        let request = match captured {
            Some(RequestCapture::Complete { bytes, trailers, reservation: body }) => {
                reservation.merge(body);
                CapturedRequest { head, body: bytes, trailers }
            }
            Some(RequestCapture::Failed(reason)) => return in_flight.drop_as(reason),
            None => return in_flight.drop_as(DropReason::RequestIncomplete),
        };
        let stable = response;
        let exchange = Exchange { in_flight, request, canary, noise, stable, latency, reservation };
        // A panic, such as in a destructor of the canary, must not fail stable's call.
        let _ = catch(|| exchange.spawn());
    }
}

/// Captures the request body.
struct RequestSink {
    capture: Capture,
    result: SharedCapture,
}

impl Sink for RequestSink {
    fn set_polling(&mut self, _: bool) {}

    fn push(&mut self, data: &[u8]) -> bool {
        let reason = match self.capture.push(data) {
            Ok(()) => return true,
            Err(CaptureError::TooLarge) => DropReason::RequestTooLarge,
            Err(CaptureError::MemoryFull) => DropReason::MemoryFull,
        };
        *lock(&self.result) = Some(RequestCapture::Failed(reason));
        false
    }

    fn finish(self, trailers: Option<HeaderMap>) {
        let (bytes, reservation) = self.capture.finish();
        *lock(&self.result) = Some(RequestCapture::Complete { bytes, trailers, reservation });
    }

    fn fail(self) {}
}

/// Captures the response body.
struct ResponseSink {
    /// `None` once the body exceeded a limit.
    capture: Option<Capture>,
    /// The bytes of the `content-length` that have not been read.
    missing: Option<u64>,
    /// `None` once the capture has ended.
    call: Option<AnsweredCall>,
}

impl ResponseSink {
    fn end(&mut self, trailers: Option<HeaderMap>) {
        let Some(mut call) = self.call.take() else { return };
        let body = self.capture.take().map(|capture| {
            let (bytes, reservation) = capture.finish();
            call.call.reservation.merge(reservation);
            bytes
        });
        call.response.set_body(body, trailers);
        call.mirror();
    }
}

impl Sink for ResponseSink {
    fn set_polling(&mut self, is_polling: bool) {
        // If stable panics in the poll, the call is dropped with this reason.
        let reason = if is_polling { DropReason::StableFailed } else { DropReason::CallerLeft };
        if let Some(call) = &mut self.call {
            call.call.set_drop_reason(reason);
        }
    }

    fn push(&mut self, data: &[u8]) -> bool {
        self.missing = self.missing.map(|missing| missing.saturating_sub(data.len() as u64));
        if self.capture.as_mut().is_some_and(|capture| capture.push(data).is_err()) {
            self.capture = None;
        }
        true
    }

    fn finish(mut self, trailers: Option<HeaderMap>) {
        self.end(trailers);
    }

    fn fail(mut self) {
        self.call = None;
    }
}

impl Drop for ResponseSink {
    fn drop(&mut self) {
        // HTTP/1 stops polling a body once it has sent `content-length` bytes.
        if self.missing == Some(0) {
            self.end(None);
        }
    }
}

fn lock(capture: &SharedCapture) -> MutexGuard<'_, Option<RequestCapture>> {
    capture.lock().unwrap_or_else(PoisonError::into_inner)
}

fn size_of_headers(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + HEADER_OVERHEAD).sum()
}

/// The estimated size in bytes of a mirrored request without its path, headers and bodies.
const OVERHEAD: usize = 1024;
/// The estimated size in bytes of a header without its name and value.
const HEADER_OVERHEAD: usize = 64;
