use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Buf;
use http::Response;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

use crate::service::{
    box_error::{BoxError, into_box_error},
    map_body::{BodyMapping, MapBody},
};

/// Boxes the response bodies of a service, so that their type does not depend on the service.
///
/// Both channels of a canary must have the same response type. Two routers have the same one, but
/// two stacks of middleware often differ, for example if only one of them compresses. Wrap both:
///
/// ```
/// use std::convert::Infallible;
///
/// use http::{Request, Response};
/// use http_body_util::{Empty, Full};
/// use tower::{Layer, service_fn};
/// use tower_canary::{CanaryLayer, body::UnifyBody};
///
/// let v1 = service_fn(|_: Request<()>| async {
///     Ok::<_, Infallible>(Response::new(Full::new(bytes::Bytes::from("v1"))))
/// });
/// let v2 = service_fn(|_: Request<()>| async {
///     Ok::<_, Infallible>(Response::new(Empty::<bytes::Bytes>::new()))
/// });
/// let service = CanaryLayer::new("checkout", UnifyBody::new(v2)).layer(UnifyBody::new(v1));
/// # let _ = service;
/// ```
///
/// This allocates once per response. For axum use `axum::AxumBody`, which produces axum's own body
/// type.
pub type UnifyBody<S> = MapBody<S, ToUnifiedBody>;

/// The [`BodyMapping`] of [`UnifyBody`].
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ToUnifiedBody;

impl<B> BodyMapping<Response<B>> for ToUnifiedBody
where
    B: Body<Error: Into<BoxError>> + Send + 'static,
{
    type Response = Response<UnifiedBody<B::Data>>;

    fn map(response: Response<B>) -> Self::Response {
        response.map(UnifiedBody::new)
    }
}

/// A boxed response body; see [`UnifyBody`].
pub struct UnifiedBody<D>(UnsyncBoxBody<D, BoxError>);

impl<D: Buf> UnifiedBody<D> {
    /// Boxes `body`.
    #[must_use]
    pub fn new<B>(body: B) -> Self
    where
        B: Body<Data = D, Error: Into<BoxError>> + Send + 'static,
    {
        Self(body.map_err(into_box_error).boxed_unsync())
    }
}

impl<D: Buf> Body for UnifiedBody<D> {
    type Data = D;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<D>, BoxError>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

impl<D> fmt::Debug for UnifiedBody<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UnifiedBody").finish_non_exhaustive()
    }
}
