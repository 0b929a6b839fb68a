use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, combinators::UnsyncBoxBody};

use crate::BoxError;

/// The body of a probe's request and response.
///
/// [`ProbeTarget::service`](super::ProbeTarget::service) takes a function that converts it to the
/// body type of the service, such as `axum::body::Body::new` or `tonic::body::Body::new`.
pub struct ProbeBody(UnsyncBoxBody<Bytes, BoxError>);

impl ProbeBody {
    pub(crate) fn empty() -> Self {
        Self::new(Empty::<Bytes>::new())
    }

    pub(crate) fn new<B>(body: B) -> Self
    where
        B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self(body.map_err(Into::into).boxed_unsync())
    }
}

impl Body for ProbeBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl fmt::Debug for ProbeBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProbeBody").finish_non_exhaustive()
    }
}
