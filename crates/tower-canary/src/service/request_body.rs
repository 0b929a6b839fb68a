use std::{
    any::Any,
    mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use http::Request;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

#[cfg(any(feature = "axum", feature = "tonic"))]
use crate::service::erased_body::ErasedBody;
use crate::service::{pending_answer::PendingAnswer, upload::Upload};

/// Follows the body of a request from now on, if it has one of a known type.
///
/// The type of a body cannot change, so it has to be one that can hold any body: that of axum or of
/// tonic.
///
/// With `has_body`, the request is taken to have a body. If it has none, the first poll shows it.
/// Otherwise the body is asked whether it has ended. That of a server takes a lock to answer.
pub(crate) fn follow<B: 'static>(
    request: &mut Request<B>,
    has_body: bool,
    answer: impl FnOnce() -> PendingAnswer,
) -> Option<Arc<Upload>> {
    let request: &mut dyn Any = request;
    #[cfg(feature = "axum")]
    if let Some(request) = request.downcast_mut::<Request<axum::body::Body>>() {
        return replace(request.body_mut(), has_body, answer);
    }
    #[cfg(feature = "tonic")]
    if let Some(request) = request.downcast_mut::<Request<tonic::body::Body>>() {
        return replace(request.body_mut(), has_body, answer);
    }
    let _ = (request, has_body, answer);
    None
}

#[cfg(any(feature = "axum", feature = "tonic"))]
fn replace<B: ErasedBody + Default>(
    body: &mut B,
    has_body: bool,
    answer: impl FnOnce() -> PendingAnswer,
) -> Option<Arc<Upload>> {
    if !has_body && body.is_end_stream() {
        return None;
    }
    let upload = Arc::new(Upload::new(answer()));
    let followed = FollowedBody {
        inner: mem::take(body),
        wait: Wait { upload: Arc::clone(&upload), is_waiting: false },
        was_polled: false,
    };
    *body = B::from_body(followed);
    Some(upload)
}

pin_project! {
    /// A request body whose [`Upload`] is followed. Frames, errors and hints pass unchanged.
    struct FollowedBody<B: Body> {
        #[pin]
        inner: B,
        wait: Wait,
        was_polled: bool,
    }
}

/// A reader's wait for the next frame.
struct Wait {
    upload: Arc<Upload>,
    is_waiting: bool,
}

impl<B: Body> Body for FollowedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let mut this = self.project();
        *this.was_polled = true;
        let mut polled = this.inner.as_mut().poll_frame(cx);
        if polled.is_pending() {
            this.wait.begin(cx.waker());
            // Polls again, so that the wait ends with the arrival of the frame.
            let waker = Waker::from(Arc::clone(&this.wait.upload));
            polled = this.inner.poll_frame(&mut Context::from_waker(&waker));
        }
        if let Poll::Ready(frame) = &polled {
            if let Some(Err(_)) = frame {
                this.wait.upload.break_off();
            }
            this.wait.end();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        // A body without a frame shows its end at the first poll. Until then it is not asked,
        // because that of a server takes a lock to answer.
        self.was_polled && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Wait {
    fn begin(&mut self, reader: &Waker) {
        self.is_waiting = true;
        self.upload.begin_wait(reader);
    }

    fn end(&mut self) {
        if mem::take(&mut self.is_waiting) {
            self.upload.end_wait();
        }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if self.is_waiting {
            self.upload.give_up();
        }
    }
}
