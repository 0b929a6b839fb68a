use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::runtime::life::Task;

/// A response body that is made on the runtime of an [`OnRuntime`](crate::runtime::OnRuntime).
///
/// Frames, trailers, errors, size hint and end of stream are those of the original. Two frames are made
/// ahead. A panic of the original is carried over. If this is dropped, so is the original.
pub struct RuntimeBody<D, E> {
    pumped: Pumped<D, E>,
    task: Option<Task>,
}

/// The receiver's end of a body that a task sends.
pub(super) struct Pumped<D, E> {
    pub(super) frames: mpsc::Receiver<Sent<D, E>>,
    /// Of what is still to be received.
    pub(super) hint: SizeHint,
    pub(super) is_at_end: bool,
}

pub(super) enum Sent<D, E> {
    /// With what the body said of the rest, and whether this is the last one.
    Frame(Result<Frame<D>, E>, SizeHint, bool),
    End,
}

impl<D, E> RuntimeBody<D, E> {
    pub(super) const fn new(pumped: Pumped<D, E>, task: Option<Task>) -> Self {
        Self { pumped, task }
    }
}

impl<D: Buf, E> Body for RuntimeBody<D, E> {
    type Data = D;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<D>, E>>> {
        let Self { pumped, task } = &mut *self;
        if pumped.is_at_end {
            return Poll::Ready(None);
        }
        match ready!(pumped.frames.poll_recv(cx)) {
            Some(Sent::Frame(frame, hint, is_last)) => {
                (pumped.hint, pumped.is_at_end) = (hint, is_last);
                Poll::Ready(Some(frame))
            }
            Some(Sent::End) => {
                (pumped.hint, pumped.is_at_end) = (SizeHint::with_exact(0), true);
                Poll::Ready(None)
            }
            None => match task {
                Some(task) => task.poll_failure(cx),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.pumped.is_at_end
    }

    fn size_hint(&self) -> SizeHint {
        self.pumped.hint
    }
}

impl<D, E> fmt::Debug for RuntimeBody<D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeBody")
            .field("is_at_end", &self.pumped.is_at_end)
            .finish_non_exhaustive()
    }
}
