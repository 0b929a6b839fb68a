use std::{
    future::poll_fn,
    pin::{Pin, pin},
    task::Poll,
    time::{Duration, Instant},
};

use bytes::Buf;
use canary_core::Channel;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame};
use tower_service::Service;

use crate::framing::has_no_body;
use crate::panic::{Panicked, catch, discard};
use crate::{
    compare::Answer, memory::Lease, queue::yield_now, recording::Recording, span::Span,
    state::Mirror,
};

/// An answer that a copy got.
pub(super) struct Asked {
    pub(super) answer: Answer,
    /// Time to the head of the answer, from when the service was ready.
    pub(super) latency: Duration,
    _lease: Lease,
}

/// Why a copy got no whole answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Fault {
    Failed,
    Panicked,
    TimedOut,
    /// The runtime has no clock.
    Runtime,
}

/// Sends a request to a service that nobody has waited for yet, and reads the answer up to the bound.
pub(super) async fn ask<S, B, ResBody>(
    mut service: S,
    request: Request<B>,
    mirror: &Mirror,
) -> Result<Asked, Fault>
where
    S: Service<Request<B>, Response = Response<ResBody>>,
    ResBody: Body,
{
    let method = request.method().clone();
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(|_| Fault::Failed)?;
    let started = Instant::now();
    let response = service.call(request).await.map_err(|_| Fault::Failed)?;
    let latency = started.elapsed();
    let (head, body) = response.into_parts();
    let mut answer = Answer::of_head(&head);
    if has_no_body(&method, head.status) {
        return Ok(Asked { answer, latency, _lease: mirror.lease() });
    }
    let mut body = pin!(body);
    let mut recording = Recording::new(mirror.options.response_limit, mirror.lease());
    let mut frames = 0_u32;
    let trailers = loop {
        match poll_fn(|cx| body.as_mut().poll_frame(cx).map(|frame| next(frame, &mut recording)))
            .await
        {
            Next::Data => {}
            Next::Overflow => {
                // The rest is of no interest: neither is its end.
                answer.set_body(None, None);
                return Ok(Asked { answer, latency, _lease: mirror.lease() });
            }
            Next::End(trailers) => break trailers,
            Next::Failed => return Err(Fault::Failed),
        }
        frames = frames.wrapping_add(1);
        if frames.is_multiple_of(FRAMES_AT_ONCE) {
            // Else a body of endless empty frames would keep the thread, and never time out.
            yield_now().await;
        }
    };
    let (bytes, lease) = recording.finish();
    answer.set_body(Some(bytes), trailers);
    Ok(Asked { answer, latency, _lease: lease })
}

enum Next {
    Data,
    Overflow,
    End(Option<HeaderMap>),
    Failed,
}

fn next<D: Buf, E>(frame: Option<Result<Frame<D>, E>>, recording: &mut Recording) -> Next {
    let mut data = match frame.map(|frame| frame.map(Frame::into_data)) {
        None => return Next::End(None),
        Some(Err(_)) => return Next::Failed,
        Some(Ok(Err(frame))) => return Next::End(frame.into_trailers().ok()),
        Some(Ok(Ok(data))) => data,
    };
    while data.has_remaining() {
        let chunk = data.chunk();
        if recording.push(chunk).is_err() {
            return Next::Overflow;
        }
        let length = chunk.len();
        data.advance(length);
    }
    Next::Data
}

/// Runs what a service does within the mirror's time limit, and stops its panics.
pub(super) async fn limited<T>(
    mirror: &Mirror,
    channel: Channel,
    future: impl Future<Output = Result<T, Fault>> + Send,
) -> Result<T, Fault> {
    let Ok(mut sleep) = catch(|| mirror.runtime.sleep(mirror.options.time_limit)) else {
        return Err(Fault::Runtime);
    };
    let mut future = Guarded(Some(Box::pin(future)));
    let span = Span::new(mirror, channel);
    poll_fn(|cx| {
        let _entered = span.enter();
        match catch(|| future.as_mut().poll(cx)) {
            Ok(Poll::Ready(result)) => return Poll::Ready(result),
            Err(Panicked) => return Poll::Ready(Err(Fault::Panicked)),
            Ok(Poll::Pending) => {}
        }
        match catch(|| sleep.as_mut().poll(cx)) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(())) => Poll::Ready(Err(Fault::TimedOut)),
            Err(Panicked) => Poll::Ready(Err(Fault::Runtime)),
        }
    })
    .await
}

/// A future of the canary's, whose destructor may panic.
struct Guarded<F>(Option<Pin<Box<F>>>);

impl<F> Guarded<F> {
    fn as_mut(&mut self) -> Pin<&mut F> {
        self.0.as_mut().expect("taken by drop only").as_mut()
    }
}

impl<F> Drop for Guarded<F> {
    fn drop(&mut self) {
        discard(|| drop(self.0.take()));
    }
}

/// Some tens of microseconds of work.
const FRAMES_AT_ONCE: u32 = 32;
