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
    control::drain_signal::DrainListener,
    service::{
        call::Call,
        panic::{Panicked, catch, discard},
        protocol::{GRPC_STATUS, Protocol},
        span::CallSpan,
    },
};

pin_project! {
    /// A response body that ends its call when it ends.
    ///
    /// It passes on frames, trailers, size hint and end of stream as they are. The call ends at the first
    /// of: the trailers, the end, an error, or a drop. It need not be polled to its end: that its
    /// `is_end_stream` says so at the head or after a frame, or that all bytes of its known length came,
    /// is an end as well.
    pub struct ResponseBody<B> {
        // None for an empty body of our own, and for one that panicked or was closed.
        #[pin]
        inner: Option<B>,
        // None for a call that does not count, and once it ended.
        tracked: Option<TrackedCall>,
    }
}

/// A call that is in flight because of its body.
struct TrackedCall {
    call: Call,
    span: CallSpan,
    watch: DrainListener,
    /// Bytes of the `content-length` that are still to come.
    missing: Option<u64>,
}

impl<B> ResponseBody<B> {
    pub(crate) const fn empty() -> Self {
        Self { inner: None, tracked: None }
    }

    /// Creates a body that belongs to no call and is not counted.
    #[must_use]
    pub const fn untracked(body: B) -> Self {
        Self { inner: Some(body), tracked: None }
    }

    /// A body that ends the call, of which so many bytes are to come.
    pub(crate) const fn tracked(body: B, call: Call, span: CallSpan, to_come: Option<u64>) -> Self {
        let tracked = TrackedCall { call, span, watch: DrainListener::new(), missing: to_come };
        Self { inner: Some(body), tracked: Some(tracked) }
    }

    /// Asks the body something; nothing, if it is the canary's and panics, as it will when it is polled.
    fn inspect<T>(&self, question: impl FnOnce(&B) -> T) -> Option<T> {
        let inner = self.inner.as_ref()?;
        match &self.tracked {
            Some(tracked) if tracked.call.is_canary() => catch(|| question(inner)).ok(),
            _ => Some(question(inner)),
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
            return inner.poll_frame(cx).map_err(Into::into);
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
                tracked.call.end_of_body(None);
                *this.tracked = None;
                return Poll::Ready(None);
            }
            BodyPoll::Error(error) => {
                tracked.call.fail();
                *this.tracked = None;
                return Poll::Ready(Some(Err(error.into())));
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
        match self.inner {
            Some(_) => self.inspect(B::size_hint).unwrap_or_default(),
            None => SizeHint::with_exact(0),
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseBody")
            .field("in_flight", &self.tracked.is_some())
            .finish_non_exhaustive()
    }
}

/// What polling a tracked body came to.
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
            Ok(Poll::Pending) => match self.call.drain_signal().poll_closed(&mut self.watch, cx) {
                Poll::Ready(()) => BodyPoll::Closed,
                Poll::Pending => BodyPoll::Pending,
            },
        }
    }

    /// Takes note of a frame, and says whether it was the last.
    fn record_frame<B: Body>(
        &mut self,
        frame: &Frame<B::Data>,
        body: &B,
    ) -> Result<bool, Panicked> {
        if let Some(trailers) = frame.trailers_ref() {
            self.call.end_of_body(Some(trailers));
            return Ok(true);
        }
        if let (Some(missing), Some(data)) = (&mut self.missing, frame.data_ref()) {
            *missing = missing.saturating_sub(data.remaining() as u64);
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
            self.call.end_of_body(None);
        }
        Ok(is_last)
    }
}

impl Drop for TrackedCall {
    fn drop(&mut self) {
        // HTTP/1 stops polling a body whose `content-length` it has sent.
        if self.missing == Some(0) && !self.call.is_polling() {
            self.call.end_of_body(None);
        }
    }
}

/// Why the layer itself ends a body.
#[derive(Clone, Copy, Debug)]
enum EarlyEnd {
    Panicked,
    Closed,
}

impl EarlyEnd {
    /// What the caller gets last. An error in HTTP, so that nobody takes half a body for a whole one;
    /// in gRPC a status.
    fn last_frame<D>(self, protocol: Protocol) -> Result<Frame<D>, BoxError> {
        match protocol {
            Protocol::Http => Err(Box::new(self)),
            Protocol::Grpc => {
                let (status, message) = match self {
                    Self::Panicked => ("13", "the handler panicked"),
                    Self::Closed => ("14", "the release was taken back"),
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
            Self::Closed => "the response was closed after its release was taken back",
        })
    }
}

impl error::Error for EarlyEnd {}

pub(crate) type BoxError = Box<dyn error::Error + Send + Sync>;
