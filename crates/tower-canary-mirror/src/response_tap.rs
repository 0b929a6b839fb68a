use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::{counts::DropReason, recording::Recording};

pin_project! {
    /// The body of stable's answer, copied while the caller reads it.
    pub(super) struct ResponseTap<B, W: Witness> {
        #[pin]
        inner: B,
        copy: Option<Copy<W>>,
    }
}

/// Who waits for stable's answer.
pub(super) trait Witness: Send {
    /// The answer is whole. Its body is none if it was larger than the bound.
    fn witness(self, body: Option<Recording>, trailers: Option<HeaderMap>);

    /// What it is to count as, if it is dropped here and now.
    fn set_if_dropped(&mut self, reason: DropReason);
}

impl<B: Body, W: Witness> ResponseTap<B, W> {
    pub(super) fn new(inner: B, headers: &HeaderMap, recording: Recording, witness: W) -> Self {
        let length = headers.get(header::CONTENT_LENGTH).map(HeaderValue::to_str);
        let missing = match length {
            Some(length) => length.ok().and_then(|length| length.parse().ok()),
            // Without the header, HTTP/1 makes one of the body's exact size.
            None => inner.size_hint().exact(),
        };
        let copy = Copy { recording: Some(recording), missing, witness: Some(witness) };
        Self { inner, copy: Some(copy) }
    }
}

struct Copy<W: Witness> {
    /// None once the body was larger than the bound.
    recording: Option<Recording>,
    /// Bytes of the `content-length` that are still to come.
    missing: Option<u64>,
    witness: Option<W>,
}

impl<W: Witness> Copy<W> {
    fn push(&mut self, data: &Bytes) {
        if let Some(recording) = &mut self.recording
            && recording.push(data).is_err()
        {
            self.recording = None;
        }
        self.missing = self.missing.map(|missing| missing.saturating_sub(data.len() as u64));
    }

    fn end(&mut self, trailers: Option<HeaderMap>) {
        if let Some(witness) = self.witness.take() {
            witness.witness(self.recording.take(), trailers);
        }
    }

    fn set_if_dropped(&mut self, reason: DropReason) {
        if let Some(witness) = &mut self.witness {
            witness.set_if_dropped(reason);
        }
    }
}

impl<W: Witness> Drop for Copy<W> {
    fn drop(&mut self) {
        // HTTP/1 stops polling a body whose `content-length` it has sent.
        if self.missing == Some(0) {
            self.end(None);
        }
    }
}

impl<B: Body<Data = Bytes>, W: Witness> Body for ResponseTap<B, W> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let Some(copy) = this.copy else {
            return this.inner.poll_frame(cx);
        };
        // A copy that is dropped with this reason has seen stable panic.
        copy.set_if_dropped(DropReason::StableFailed);
        let polled = this.inner.as_mut().poll_frame(cx);
        if polled.is_pending() {
            copy.set_if_dropped(DropReason::CallerLeft);
        }
        let polled = ready!(polled);
        let mut trailers = None;
        let is_end = match &polled {
            None => true,
            Some(Err(_)) => {
                copy.missing = None;
                *this.copy = None;
                return Poll::Ready(polled);
            }
            Some(Ok(frame)) => {
                trailers = frame.trailers_ref().cloned();
                if let Some(data) = frame.data_ref() {
                    copy.push(data);
                }
                trailers.is_some() || this.inner.is_end_stream()
            }
        };
        if is_end {
            copy.end(trailers);
            *this.copy = None;
        } else {
            copy.set_if_dropped(DropReason::CallerLeft);
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
