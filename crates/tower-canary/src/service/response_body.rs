use std::{
    error, fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Buf;
use canary_core::Channel;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    config::grpc_code::GRPC_STATUS,
    control::drain_signal::DrainListener,
    service::{
        box_error::{BoxError, into_box_error},
        call::Call,
        erased_body::ErasedBody,
        panic::{Panicked, catch, discard},
        protocol::Protocol,
        span::CallSpan,
    },
};

pin_project! {
    /// The response body of [`CanaryService`](crate::CanaryService). The call ends when it ends.
    ///
    /// Frames, trailers, size hint and end of stream pass through unchanged, except that an empty body
    /// of the canary's response to HEAD has no known size. The call ends at the
    /// first of: trailers, the end of the body, an error, or a drop. A body that is not polled to
    /// its end still counts as complete if its `is_end_stream` returns true after a frame, or if
    /// all bytes of its `content-length` were sent.
    pub struct ResponseBody<B> {
        // `None` for a response of the layer, and after the body panicked or was closed.
        #[pin]
        inner: Option<B>,
        // `None` for a call that is not counted, and after the call ended.
        tracked: Option<TrackedCall>,
        // Whether the size of the inner body may be that of a body that a router removed.
        is_head: bool,
    }
}

/// An uncounted body, which layers outside use for the responses that they make themselves.
impl<B: Default> Default for ResponseBody<B> {
    fn default() -> Self {
        Self::untracked(B::default())
    }
}

/// A call whose response head was sent.
struct TrackedCall {
    call: Call,
    span: CallSpan,
    drain_listener: DrainListener,
    /// The bytes of the `content-length` that were not sent yet, if it is known.
    remaining: Option<u64>,
}

impl<B> ResponseBody<B> {
    pub(crate) const fn empty() -> Self {
        Self { inner: None, tracked: None, is_head: false }
    }

    /// Creates a body that belongs to no call and is not counted.
    #[must_use]
    pub const fn untracked(body: B) -> Self {
        Self { inner: Some(body), tracked: None, is_head: false }
    }

    /// Creates a body that ends the call. `length` is the `content-length`, if it is known.
    pub(crate) const fn tracked(body: B, call: Call, span: CallSpan, length: Option<u64>) -> Self {
        let tracked =
            TrackedCall { call, span, drain_listener: DrainListener::new(), remaining: length };
        Self { inner: Some(body), tracked: Some(tracked), is_head: false }
    }

    /// Marks the body as that of a response to HEAD.
    ///
    /// A router of the canary has removed such a body already. Stable's router around it must not
    /// take the size of the removed body for the length that a response to GET would have.
    pub(crate) const fn set_head(&mut self) {
        self.is_head = true;
    }

    /// Converts the body into the type of the inner body.
    pub(crate) fn erase(self) -> B
    where
        B: ErasedBody,
    {
        match self {
            Self { inner: Some(body), tracked: None, is_head: false } => body,
            body => B::from_body(body),
        }
    }

    /// Calls `read` with the body. Returns `None` if there is no body, or if a body of the canary
    /// panics.
    fn inspect<T>(&self, read: impl FnOnce(&B) -> T) -> Option<T> {
        let inner = self.inner.as_ref()?;
        match &self.tracked {
            Some(tracked) if tracked.call.is_canary() => catch(|| read(inner)).ok(),
            _ => Some(read(inner)),
        }
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Error: Into<BoxError>>,
{
    type Data = B::Data;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, BoxError>>> {
        let mut this = self.project();
        let Some(mut inner) = this.inner.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let Some(tracked) = this.tracked.as_mut() else {
            return inner.poll_frame(cx).map_err(into_box_error);
        };
        let early_end = match tracked.poll(inner.as_mut(), cx) {
            BodyPoll::Frame(frame) => match tracked.record_frame(&frame, &*inner) {
                Ok(is_last) => {
                    if is_last {
                        *this.tracked = None;
                    }
                    return Poll::Ready(Some(Ok(frame)));
                }
                Err(Panicked) => EarlyEnd::Panicked,
            },
            BodyPoll::Pending => return Poll::Pending,
            BodyPoll::End => {
                tracked.end(None);
                *this.tracked = None;
                return Poll::Ready(None);
            }
            BodyPoll::Error(error) => {
                tracked.call.fail();
                *this.tracked = None;
                return Poll::Ready(Some(Err(into_box_error(error))));
            }
            BodyPoll::Panicked => EarlyEnd::Panicked,
            BodyPoll::Closed => EarlyEnd::Closed,
        };
        match early_end {
            EarlyEnd::Panicked => tracked.call.panic(),
            EarlyEnd::Closed => tracked.call.cancel(),
        }
        let last = early_end.last_frame(tracked.call.protocol());
        *this.tracked = None;
        discard(|| this.inner.set(None));
        Poll::Ready(Some(last))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_none() || self.inspect(B::is_end_stream).unwrap_or(false)
    }

    fn size_hint(&self) -> SizeHint {
        let hint = match self.inner {
            Some(_) => self.inspect(B::size_hint).unwrap_or_default(),
            None => SizeHint::with_exact(0),
        };
        if self.is_head && hint.exact() == Some(0) { SizeHint::default() } else { hint }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("in_flight", &self.tracked.is_some())
            .finish_non_exhaustive()
    }
}

/// The result of polling a tracked body.
enum BodyPoll<D, E> {
    Frame(Frame<D>),
    Error(E),
    End,
    Pending,
    Panicked,
    Closed,
}

impl TrackedCall {
    fn poll<B: Body>(
        &mut self,
        body: Pin<&mut B>,
        cx: &mut Context<'_>,
    ) -> BodyPoll<B::Data, B::Error> {
        if self.call.drain_signal().is_closed() {
            return BodyPoll::Closed;
        }
        let entered = self.span.enter();
        let polled = match self.call.channel() {
            Channel::Canary => catch(|| body.poll_frame(cx)),
            Channel::Stable => {
                self.call.set_polling(true);
                let polled = body.poll_frame(cx);
                self.call.set_polling(false);
                Ok(polled)
            }
        };
        drop(entered);
        match polled {
            Err(Panicked) => BodyPoll::Panicked,
            Ok(Poll::Ready(Some(Ok(frame)))) => BodyPoll::Frame(frame),
            Ok(Poll::Ready(Some(Err(error)))) => BodyPoll::Error(error),
            Ok(Poll::Ready(None)) => BodyPoll::End,
            Ok(Poll::Pending) => {
                match self.call.drain_signal().poll_closed(&mut self.drain_listener, cx) {
                    Poll::Ready(()) => BodyPoll::Closed,
                    Poll::Pending => BodyPoll::Pending,
                }
            }
        }
    }

    /// Counts the bytes of a frame, and ends the call if the frame is the last one.
    ///
    /// Returns whether it is the last one.
    fn record_frame<B: Body>(
        &mut self,
        frame: &Frame<B::Data>,
        body: &B,
    ) -> Result<bool, Panicked> {
        if let Some(trailers) = frame.trailers_ref() {
            self.end(Some(trailers));
            return Ok(true);
        }
        if let (Some(remaining), Some(data)) = (self.remaining, frame.data_ref()) {
            self.remaining = remaining.checked_sub(data.remaining() as u64);
            if self.remaining.is_none() {
                // Servers cut the body in HTTP/1, and send a malformed response in HTTP/2.
                self.call.fail();
                return Ok(true);
            }
        }
        let is_last = match self.call.channel() {
            Channel::Stable => {
                self.call.set_polling(true);
                let is_last = body.is_end_stream();
                self.call.set_polling(false);
                is_last
            }
            Channel::Canary => catch(|| body.is_end_stream())?,
        };
        if is_last {
            self.end(None);
        }
        Ok(is_last)
    }

    /// Ends the call with its body. A body that is shorter than its `content-length` is a failure,
    /// because the server cannot end the response: it closes the connection or resets the stream.
    fn end(&mut self, trailers: Option<&HeaderMap>) {
        match self.remaining {
            Some(1..) => self.call.fail(),
            _ => self.call.end_of_body(trailers),
        }
    }
}

impl Drop for TrackedCall {
    fn drop(&mut self) {
        // hyper stops polling an HTTP/1 body after it sent `content-length` bytes.
        let call = &mut self.call;
        let may_be_complete =
            !call.has_ended() && !call.is_polling() && call.protocol() == Protocol::Http;
        if may_be_complete && self.remaining == Some(0) {
            call.end_of_body(None);
        }
    }
}

/// The reason why the layer ends a body early.
#[derive(Clone, Copy, Debug)]
enum EarlyEnd {
    Panicked,
    Closed,
}

impl EarlyEnd {
    /// Returns the last frame of the body.
    ///
    /// In HTTP it is an error, so that the client does not mistake the partial body for a complete
    /// one. In gRPC it is a status.
    fn last_frame<D>(self, protocol: Protocol) -> Result<Frame<D>, BoxError> {
        match protocol {
            Protocol::Http => Err(Box::new(self)),
            Protocol::Grpc => {
                let (status, message) = match self {
                    Self::Panicked => ("13", "the handler panicked"),
                    Self::Closed => ("14", "the release was rolled back"),
                };
                let mut trailers = HeaderMap::with_capacity(2);
                trailers.insert(&GRPC_STATUS, HeaderValue::from_static(status));
                trailers.insert("grpc-message", HeaderValue::from_static(message));
                Ok(Frame::trailers(trailers))
            }
        }
    }
}

impl fmt::Display for EarlyEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Panicked => "the response body panicked",
            Self::Closed => "the response was closed after its release was rolled back",
        })
    }
}

impl error::Error for EarlyEnd {}
