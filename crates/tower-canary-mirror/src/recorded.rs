use std::{
    marker::PhantomData,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use bytes::Bytes;
use http::{HeaderMap, Request, Response, request};
use http_body::Body;
use tower_service::Service;

use crate::framing::has_no_body;
use crate::panic::discard;
use crate::{
    any_body::AnyBody,
    compare::Answer,
    counts::DropReason,
    exchange::{Exchange, RecordedRequest},
    layer::Target,
    memory::Lease,
    queue::Job,
    recording::Recording,
    request_tap::{RequestEnd, RequestTap},
    response_tap::{ResponseTap, Witness},
    ticket::Ticket,
};

/// A call of stable of which a copy is being made.
pub(super) struct RecordedCall<S, C, B> {
    ticket: Ticket,
    head: request::Parts,
    request: Arc<OnceLock<RequestEnd>>,
    target: Arc<Target<C>>,
    /// Stable, to be asked a second time.
    second: Option<S>,
    started: Instant,
    /// For the heads.
    lease: Lease,
    body: PhantomData<fn() -> B>,
}

impl<S, C, B> RecordedCall<S, C, B> {
    /// Begins a copy, and returns the request for stable.
    pub(super) fn begin(
        ticket: Ticket,
        request: Request<B>,
        target: Arc<Target<C>>,
        second: Option<S>,
    ) -> (Request<B>, Option<Box<Self>>)
    where
        B: AnyBody,
    {
        let (head, body) = request.into_parts();
        let mirror = ticket.mirror();
        let mut lease = mirror.lease();
        let size = head.uri.path_and_query().map_or(0, |path| path.as_str().len());
        if lease.grow(OVERHEAD + size + size_of_headers(&head.headers)).is_err() {
            ticket.drop_as(DropReason::MemoryFull);
            return (Request::from_parts(head, body), None);
        }
        let end = Arc::new(OnceLock::new());
        let body = if body.is_end_stream() {
            let whole =
                RequestEnd::Whole { bytes: Bytes::new(), trailers: None, _lease: mirror.lease() };
            let _ = end.set(whole);
            body
        } else {
            let recording = Recording::new(mirror.options.request_limit, mirror.lease());
            B::of(RequestTap::new(body, recording, Arc::clone(&end)))
        };
        let call = Self {
            ticket,
            head: head.clone(),
            request: end,
            target,
            second,
            started: Instant::now(),
            lease,
            body: PhantomData,
        };
        (Request::from_parts(head, body), Some(Box::new(call)))
    }

    pub(super) fn set_if_dropped(&mut self, reason: DropReason) {
        self.ticket.set_if_dropped(reason);
    }
}

impl<S, C, B, ResBody, CanaryBody> RecordedCall<S, C, B>
where
    S: Service<Request<B>, Response = Response<ResBody>, Future: Send> + Clone + Send + 'static,
    C: Service<Request<B>, Response = Response<CanaryBody>, Future: Send> + Clone + Send + 'static,
    B: AnyBody,
    ResBody: AnyBody,
    CanaryBody: Body + Send + 'static,
{
    /// Stable has answered. Copies the answer while the caller reads it.
    pub(super) fn answered(mut self: Box<Self>, response: Response<ResBody>) -> Response<ResBody> {
        let latency = self.started.elapsed();
        if let Some(RequestEnd::Dropped(reason)) = self.request.get() {
            let reason = *reason;
            self.ticket.drop_as(reason);
            return response;
        }
        let (head, body) = response.into_parts();
        if self.lease.grow(size_of_headers(&head.headers)).is_err() {
            self.ticket.drop_as(DropReason::MemoryFull);
            return Response::from_parts(head, body);
        }
        self.ticket.set_if_dropped(DropReason::CallerLeft);
        let has_no_body = has_no_body(&self.head.method, head.status) || body.is_end_stream();
        let answer = Answered { answer: Answer::of_head(&head), latency, call: self };
        if has_no_body {
            answer.submit();
            return Response::from_parts(head, body);
        }
        let mirror = answer.call.ticket.mirror();
        let recording = Recording::new(mirror.options.response_limit, mirror.lease());
        let body = ResBody::of(ResponseTap::new(body, &head.headers, recording, answer));
        Response::from_parts(head, body)
    }
}

/// A call of stable whose answer is coming.
struct Answered<S, C, B> {
    answer: Answer,
    /// Time to the head of the answer.
    latency: Duration,
    call: Box<RecordedCall<S, C, B>>,
}

impl<S, C, B, ResBody, CanaryBody> Answered<S, C, B>
where
    S: Service<Request<B>, Response = Response<ResBody>, Future: Send> + Clone + Send + 'static,
    C: Service<Request<B>, Response = Response<CanaryBody>, Future: Send> + Clone + Send + 'static,
    B: AnyBody,
    ResBody: AnyBody,
    CanaryBody: Body + Send + 'static,
{
    /// Sends the copy on its way.
    fn submit(self) {
        let Self { answer, latency, call } = self;
        let RecordedCall { ticket, head, request, target, second, lease, .. } = *call;
        match request.get() {
            Some(RequestEnd::Whole { .. }) => {}
            Some(RequestEnd::Dropped(reason)) => return ticket.drop_as(*reason),
            None => return ticket.drop_as(DropReason::RequestIncomplete),
        }
        let mirror = Arc::clone(ticket.mirror());
        let exchange = Exchange {
            request: RecordedRequest { head, body: request },
            target,
            second,
            stable: answer,
            latency,
            lease,
            body: PhantomData,
        };
        let run = Box::new(move |ticket| -> crate::BoxFuture { Box::pin(exchange.run(ticket)) });
        // This runs in a call of stable, which nothing here may harm.
        discard(|| mirror.submit(Job { ticket, run }));
    }
}

impl<S, C, B, ResBody, CanaryBody> Witness for Answered<S, C, B>
where
    S: Service<Request<B>, Response = Response<ResBody>, Future: Send> + Clone + Send + 'static,
    C: Service<Request<B>, Response = Response<CanaryBody>, Future: Send> + Clone + Send + 'static,
    B: AnyBody,
    ResBody: AnyBody,
    CanaryBody: Body + Send + 'static,
{
    fn witness(mut self, body: Option<Recording>, trailers: Option<HeaderMap>) {
        let body = body.map(|recording| {
            let (bytes, lease) = recording.finish();
            self.call.lease.merge(lease);
            bytes
        });
        self.answer.set_body(body, trailers);
        self.submit();
    }

    fn set_if_dropped(&mut self, reason: DropReason) {
        self.call.ticket.set_if_dropped(reason);
    }
}

fn size_of_headers(headers: &HeaderMap) -> usize {
    headers.iter().map(|(name, value)| name.as_str().len() + value.len() + OVERHEAD_OF_HEADER).sum()
}

/// What a copy takes beyond its texts and bodies, in bytes, about.
const OVERHEAD: usize = 1024;
const OVERHEAD_OF_HEADER: usize = 64;
