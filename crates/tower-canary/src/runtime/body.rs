use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::sync::mpsc;

use crate::runtime::host::AbortOnDrop;

/// A response body that is produced on the runtime of an [`OnRuntime`](crate::runtime::OnRuntime).
///
/// Frames, trailers, errors, size hints and the end of the stream are those of the original body.
/// Up to two frames are produced ahead. A panic of the original body is resumed here. Dropping this
/// body aborts the task that produces the original.
pub struct RuntimeBody<D, E> {
    receiver: BodyReceiver<D, E>,
    task: Option<AbortOnDrop>,
}

/// The receiving end of a body that a task sends.
pub(super) struct BodyReceiver<D, E> {
    pub(super) messages: mpsc::Receiver<BodyMessage<D, E>>,
    /// The size hint for the frames that have not been received.
    pub(super) hint: SizeHint,
    pub(super) is_at_end: bool,
}

pub(super) enum BodyMessage<D, E> {
    Frame {
        frame: Result<Frame<D>, E>,
        /// The size hint for the frames after this one.
        hint: SizeHint,
        is_last: bool,
    },
    End,
}

impl<D, E> RuntimeBody<D, E> {
    pub(super) const fn new(receiver: BodyReceiver<D, E>, task: Option<AbortOnDrop>) -> Self {
        Self { receiver, task }
    }
}

impl<D: Buf, E> Body for RuntimeBody<D, E> {
    type Data = D;
    type Error = E;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<D>, E>>> {
        let Self { receiver, task } = &mut *self;
        if receiver.is_at_end {
            return Poll::Ready(None);
        }
        match ready!(receiver.messages.poll_recv(cx)) {
            Some(BodyMessage::Frame { frame, hint, is_last }) => {
                (receiver.hint, receiver.is_at_end) = (hint, is_last);
                Poll::Ready(Some(frame))
            }
            Some(BodyMessage::End) => {
                (receiver.hint, receiver.is_at_end) = (SizeHint::with_exact(0), true);
                Poll::Ready(None)
            }
            None => match task {
                Some(task) => task.poll_failure(cx),
                None => Poll::Ready(None),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        self.receiver.is_at_end
    }

    fn size_hint(&self) -> SizeHint {
        self.receiver.hint
    }
}

impl<D, E> fmt::Debug for RuntimeBody<D, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RuntimeBody")
            .field("is_at_end", &self.receiver.is_at_end)
            .finish_non_exhaustive()
    }
}
