//! The streams of health and reflection, which need no operator.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use axum::{
    body::{Body, Bytes, HttpBody},
    extract::{Request, State},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::HeaderMap;
use hyper::body::Frame;
use tokio::sync::OwnedSemaphorePermit;
use tonic::Status;

use crate::{
    problem::{ApiError, Kind},
    shared::Shared,
};

/// Limits the number of open streams, and ends them when the server stops.
pub(super) async fn limit(
    State(shared): State<Arc<Shared>>,
    request: Request,
    next: Next,
) -> Response {
    let Ok(place) = Arc::clone(&shared.public_streams).try_acquire_owned() else {
        let detail = "too many streams of health and reflection are open";
        return ApiError::new(Kind::TooMany, detail).into_response();
    };
    let mut stop = shared.stop.subscribe();
    let stopped = Box::pin(async move {
        // Fails if the server is gone.
        let _ = stop.wait_for(|stop| *stop).await;
    });
    let response = next.run(request).await;
    response.map(|body| Body::new(PublicStream { body, stopped: Some(stopped), _place: place }))
}

struct PublicStream {
    body: Body,
    /// `None` if the server has stopped.
    stopped: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    _place: OwnedSemaphorePermit,
}

impl HttpBody for PublicStream {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let this = &mut *self;
        let Some(stopped) = &mut this.stopped else { return Poll::Ready(None) };
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(cx) {
            return Poll::Ready(frame);
        }
        ready!(stopped.as_mut().poll(cx));
        this.stopped = None;
        let mut trailers = HeaderMap::new();
        let status = Status::unavailable("the server is about to stop");
        // The message has plain characters only.
        let _ = status.add_header(&mut trailers);
        Poll::Ready(Some(Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.stopped.is_none() || self.body.is_end_stream()
    }
}
