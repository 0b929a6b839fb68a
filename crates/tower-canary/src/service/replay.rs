use std::{
    fmt, mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Waker},
};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};

use crate::service::box_error::{BoxError, into_box_error};

/// A request body that can be read twice, up to a limit; see [`Fallback`](crate::Fallback).
///
/// The canary reads it first, while the layer copies it. If stable repeats the call, stable reads
/// the copy and then the rest of the original. Trailers are repeated as well.
pub struct ReplayBody<B>(ReplayState<B>);

enum ReplayState<B> {
    /// Reads the original, and copies it.
    First(Arc<Mutex<SharedBody<B>>>),
    /// Reads the copy, and then the rest of the original.
    Again { copy: Bytes, rest: Rest<B> },
}

/// The part of a body after the copy.
enum Rest<B> {
    Body(Pin<Box<B>>),
    Trailers(HeaderMap),
    Nothing,
}

impl<B> ReplayBody<B> {
    /// Creates a body from its bytes and trailers.
    #[must_use]
    pub fn buffered(bytes: Bytes, trailers: Option<HeaderMap>) -> Self {
        let rest = trailers.map_or(Rest::Nothing, Rest::Trailers);
        Self(ReplayState::Again { copy: bytes, rest })
    }

    /// Creates the body for the first reader, and the handle that takes it back.
    pub(crate) fn new(body: B, limit: usize) -> (Self, ReplayHandle<B>) {
        let shared = Arc::new(Mutex::new(SharedBody {
            body: Some(Box::pin(body)),
            copy: Some(CopiedPart::new(limit)),
            is_at_end: false,
            waker: None,
        }));
        (Self(ReplayState::First(Arc::clone(&shared))), ReplayHandle(shared))
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body<Error: Into<BoxError>>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.0 {
            ReplayState::First(shared) => lock(shared).poll_frame(cx),
            ReplayState::Again { copy, .. } if !copy.is_empty() => {
                Poll::Ready(Some(Ok(Frame::data(mem::take(copy)))))
            }
            ReplayState::Again { rest, .. } => match rest {
                Rest::Body(body) => body.as_mut().poll_frame(cx).map(|frame| {
                    frame.map(|frame| {
                        frame.map(|frame| frame.map_data(into_bytes)).map_err(into_box_error)
                    })
                }),
                Rest::Trailers(trailers) => {
                    let trailers = Frame::trailers(mem::take(trailers));
                    *rest = Rest::Nothing;
                    Poll::Ready(Some(Ok(trailers)))
                }
                Rest::Nothing => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            ReplayState::First(shared) => {
                lock(shared).body.as_ref().is_some_and(|body| body.is_end_stream())
            }
            ReplayState::Again { copy, rest } => {
                copy.is_empty()
                    && match rest {
                        Rest::Body(body) => body.is_end_stream(),
                        Rest::Trailers(_) => false,
                        Rest::Nothing => true,
                    }
            }
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            ReplayState::First(shared) => {
                lock(shared).body.as_ref().map_or_else(SizeHint::new, |body| body.size_hint())
            }
            ReplayState::Again { copy, rest } => {
                let rest = match rest {
                    Rest::Body(body) => body.size_hint(),
                    Rest::Trailers(_) | Rest::Nothing => SizeHint::with_exact(0),
                };
                let copied = copy.len() as u64;
                let mut hint = SizeHint::new();
                hint.set_lower(rest.lower().saturating_add(copied));
                if let Some(upper) = rest.upper().and_then(|upper| upper.checked_add(copied)) {
                    hint.set_upper(upper);
                }
                hint
            }
        }
    }
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_repetition = matches!(self.0, ReplayState::Again { .. });
        f.debug_struct("ReplayBody").field("is_repetition", &is_repetition).finish_non_exhaustive()
    }
}

/// The layer's handle to a body that the canary reads. Copying stops when it is dropped.
pub(crate) struct ReplayHandle<B>(Arc<Mutex<SharedBody<B>>>);

impl<B> ReplayHandle<B> {
    /// Takes the body away from the canary, to be read from the start.
    ///
    /// Returns `None` if the canary read more than the limit, or the body failed.
    pub(crate) fn take(&self) -> Option<ReplayBody<B>> {
        let mut shared = lock(&self.0);
        let copy = shared.copy.take()?;
        let body = shared.body.take()?;
        let waker = shared.waker.take();
        let rest = match copy.trailers {
            Some(trailers) => Rest::Trailers(trailers),
            None if shared.is_at_end => Rest::Nothing,
            None => Rest::Body(body),
        };
        drop(shared);
        // Wakes a task of the canary that still reads the body. It gets an error.
        waker.into_iter().for_each(Waker::wake);
        Some(ReplayBody(ReplayState::Again { copy: copy.bytes.into(), rest }))
    }
}

impl<B> Drop for ReplayHandle<B> {
    fn drop(&mut self) {
        lock(&self.0).copy = None;
    }
}

struct SharedBody<B> {
    /// `None` after stable took it.
    body: Option<Pin<Box<B>>>,
    /// `None` if the body cannot be repeated, or need not be any more.
    copy: Option<CopiedPart>,
    is_at_end: bool,
    waker: Option<Waker>,
}

impl<B> SharedBody<B>
where
    B: Body<Error: Into<BoxError>>,
{
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(body) = &mut self.body else {
            return Poll::Ready(Some(Err("stable took over the call from the canary".into())));
        };
        let Poll::Ready(frame) = body.as_mut().poll_frame(cx) else {
            match &mut self.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                None => self.waker = Some(cx.waker().clone()),
            }
            return Poll::Pending;
        };
        Poll::Ready(match frame {
            Some(Ok(frame)) => {
                let frame = frame.map_data(into_bytes);
                self.copy = self.copy.take().and_then(|copy| copy.with(&frame));
                Some(Ok(frame))
            }
            Some(Err(error)) => {
                self.copy = None;
                Some(Err(into_box_error(error)))
            }
            None => {
                self.is_at_end = true;
                None
            }
        })
    }
}

/// A copy of the part that the canary has read.
///
/// The bytes are copied because even a short slice would keep the whole buffer of the server alive.
/// The client controls the length of the slices, so the limit would not hold.
struct CopiedPart {
    bytes: Vec<u8>,
    trailers: Option<HeaderMap>,
    limit: usize,
}

impl CopiedPart {
    const fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), trailers: None, limit }
    }

    /// Adds a frame, or returns `None` if it exceeds the limit.
    fn with(mut self, frame: &Frame<Bytes>) -> Option<Self> {
        if let Some(data) = frame.data_ref() {
            let length = self.bytes.len().checked_add(data.len())?;
            if length > self.limit {
                return None;
            }
            if length > self.bytes.capacity() {
                // Grows as a `Vec` does, but not beyond the limit.
                let capacity = (2 * self.bytes.capacity()).clamp(length, self.limit);
                self.bytes.reserve_exact(capacity - self.bytes.len());
            }
            self.bytes.extend_from_slice(data);
        } else if let Some(trailers) = frame.trailers_ref() {
            let size: usize =
                trailers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
            if self.bytes.len().checked_add(size)? > self.limit {
                return None;
            }
            self.trailers = Some(trailers.clone());
        }
        Some(self)
    }
}

fn into_bytes(mut data: impl Buf) -> Bytes {
    data.copy_to_bytes(data.remaining())
}

fn lock<B>(shared: &Mutex<SharedBody<B>>) -> MutexGuard<'_, SharedBody<B>> {
    // The copy of a body that panicked is still consistent.
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use http_body_util::Full;

    use super::*;

    /// A body of single bytes, each a slice of a large buffer.
    struct SingleBytes(Bytes, usize);

    impl Body for SingleBytes {
        type Data = Bytes;
        type Error = BoxError;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            self.1 -= 1;
            Poll::Ready(Some(Ok(Frame::data(self.0.slice(..1)))))
        }
    }

    fn read<B: Body<Error: Into<BoxError>>>(body: &mut ReplayBody<B>) {
        let polled = pin!(body).poll_frame(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Some(Ok(_)))));
    }

    fn copied_bytes<B>(handle: &ReplayHandle<B>) -> Option<usize> {
        lock(&handle.0).copy.as_ref().map(|copy| copy.bytes.capacity())
    }

    #[test]
    fn the_copy_never_exceeds_the_limit() {
        let buffer = Bytes::from(vec![7; 1 << 20]);
        let (mut body, handle) = ReplayBody::new(SingleBytes(buffer.clone(), 2000), 1000);
        for _ in 0..1000 {
            read(&mut body);
            assert!(copied_bytes(&handle).is_some_and(|bytes| bytes <= 1000));
        }
        read(&mut body);
        assert_eq!(copied_bytes(&handle), None);
        drop((body, handle));
        assert!(buffer.is_unique(), "the copy must not refer to the buffer");
    }

    #[test]
    fn copying_stops_when_the_handle_is_dropped() {
        let (mut body, handle) = ReplayBody::new(Full::new(Bytes::from("text")), 1000);
        let ReplayState::First(shared) = &body.0 else { panic!("expected the first reader") };
        let shared = Arc::clone(shared);
        drop(handle);
        read(&mut body);
        assert!(lock(&shared).copy.is_none());
    }
}
