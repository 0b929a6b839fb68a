use std::{
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{
    counts::DropReason,
    memory::Lease,
    recording::{Overflow, Recording},
};

pin_project! {
    /// A request's body, copied while stable reads it.
    pub(super) struct RequestTap<B> {
        #[pin]
        inner: B,
        copy: Option<Copy>,
    }
}

impl<B> RequestTap<B> {
    pub(super) fn new(inner: B, recording: Recording, end: Arc<OnceLock<RequestEnd>>) -> Self {
        Self { inner, copy: Some(Copy { recording: Some(recording), end }) }
    }
}

/// What became of the copy of a request's body.
pub(super) enum RequestEnd {
    Whole { bytes: Bytes, trailers: Option<HeaderMap>, _lease: Lease },
    Dropped(DropReason),
}

/// A copy that is being made. Dropped unended, it leaves nothing: the body was not read to its end.
struct Copy {
    recording: Option<Recording>,
    end: Arc<OnceLock<RequestEnd>>,
}

impl Copy {
    fn end(mut self, trailers: Option<HeaderMap>) {
        if let Some(recording) = self.recording.take() {
            let (bytes, lease) = recording.finish();
            // Whoever sets it holds the only recording.
            let _ = self.end.set(RequestEnd::Whole { bytes, trailers, _lease: lease });
        }
    }

    fn drop_as(&mut self, reason: DropReason) {
        if self.recording.take().is_some() {
            let _ = self.end.set(RequestEnd::Dropped(reason));
        }
    }
}

impl<B: Body<Data = Bytes>> Body for RequestTap<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let polled = ready!(this.inner.as_mut().poll_frame(cx));
        let Some(copy) = this.copy else {
            return Poll::Ready(polled);
        };
        let mut trailers = None;
        let is_end = match &polled {
            None => true,
            Some(Err(_)) => {
                *this.copy = None;
                return Poll::Ready(polled);
            }
            Some(Ok(frame)) => {
                trailers = frame.trailers_ref().cloned();
                if let (Some(data), Some(recording)) = (frame.data_ref(), &mut copy.recording)
                    && let Err(overflow) = recording.push(data)
                {
                    copy.drop_as(match overflow {
                        Overflow::TooLarge => DropReason::RequestTooLarge,
                        Overflow::MemoryFull => DropReason::MemoryFull,
                    });
                    *this.copy = None;
                    return Poll::Ready(polled);
                }
                trailers.is_some() || this.inner.is_end_stream()
            }
        };
        if is_end && let Some(copy) = this.copy.take() {
            copy.end(trailers);
        }
        Poll::Ready(polled)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
