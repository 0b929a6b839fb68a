use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

pin_project! {
    /// A body that also passes its frames to a [`Sink`] while it is read.
    pub(crate) struct Tap<B, S> {
        #[pin]
        body: B,
        sink: Option<S>,
    }
}

/// Captures a body.
///
/// A sink that is dropped without a call of [`finish`](Self::finish) or [`fail`](Self::fail) has
/// not seen the end of the body.
pub(crate) trait Sink: Sized {
    /// Marks the start and the end of a poll of the body. If the poll panics, `false` is not set.
    fn set_polling(&mut self, is_polling: bool);

    /// Takes a frame of data. Returns `false` if the capture is over.
    fn push(&mut self, data: &[u8]) -> bool;

    /// Ends the capture at the end of the body.
    fn finish(self, trailers: Option<HeaderMap>);

    /// Ends the capture because the body failed.
    fn fail(self);
}

impl<B, S> Tap<B, S> {
    pub(crate) const fn new(body: B, sink: S) -> Self {
        Self { body, sink: Some(sink) }
    }
}

impl<B: Body<Data = Bytes>, S: Sink> Body for Tap<B, S> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(sink) = this.sink else {
            return this.body.poll_frame(cx);
        };
        sink.set_polling(true);
        let polled = this.body.as_mut().poll_frame(cx);
        if polled.is_pending() {
            sink.set_polling(false);
        }
        let polled = ready!(polled);
        let (is_captured, is_end, trailers) = match &polled {
            None => (true, true, None),
            Some(Err(_)) => {
                if let Some(sink) = this.sink.take() {
                    sink.fail();
                }
                return Poll::Ready(polled);
            }
            Some(Ok(frame)) => {
                let trailers = frame.trailers_ref().cloned();
                let is_captured = frame.data_ref().is_none_or(|data| sink.push(data));
                (is_captured, trailers.is_some() || this.body.is_end_stream(), trailers)
            }
        };
        if !is_captured {
            *this.sink = None;
        } else if !is_end {
            sink.set_polling(false);
        } else if let Some(sink) = this.sink.take() {
            sink.finish(trailers);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
