use std::any::Any;

use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

use crate::service::{
    box_error::{BoxError, into_box_error},
    map_body::BodyMapping,
    response_body::ResponseBody,
    unify_body::UnifiedBody,
};

/// A body that any other body can be converted into.
///
/// With the features `axum` and `tonic`, the bodies of these crates implement it.
///
/// If stable or the canary has another type, such as hyper's `Incoming`, add layers that convert
/// bodies: one outside for request bodies, and one inside for response bodies. tower-http has
/// `MapRequestBodyLayer` and `MapResponseBodyLayer`:
///
/// ```ignore
/// let stack = ServiceBuilder::new()
///     .layer(MapRequestBodyLayer::new(axum::body::Body::new))
///     .layer(layer)
///     .layer(MapResponseBodyLayer::new(axum::body::Body::new));
/// ```
pub trait ErasedBody: Body<Data = Bytes, Error: Into<BoxError>> + Send + Sized + 'static {
    /// Converts `body` into this type.
    fn from_body(body: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static) -> Self;
}

impl ErasedBody for UnsyncBoxBody<Bytes, BoxError> {
    fn from_body(body: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static) -> Self {
        body.map_err(into_box_error).boxed_unsync()
    }
}

impl ErasedBody for UnifiedBody<Bytes> {
    fn from_body(body: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static) -> Self {
        Self::new(body)
    }
}

/// The response body of a canary layer. It allows another layer around that layer.
impl<B: ErasedBody> ErasedBody for ResponseBody<B> {
    fn from_body(body: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static) -> Self {
        Self::untracked(B::from_body(body))
    }
}

#[cfg(feature = "axum")]
impl ErasedBody for axum::body::Body {
    fn from_body(body: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static) -> Self {
        // Without axum's error of the body inside, so that its extractors find the reason.
        Self::new(body.map_err(into_box_error))
    }
}

#[cfg(feature = "tonic")]
impl ErasedBody for tonic::body::Body {
    fn from_body(body: impl Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static) -> Self {
        Self::new(body)
    }
}

/// Converts `body`, unless it has the type already.
pub(crate) fn into_erased<A, B>(body: A) -> B
where
    A: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    B: ErasedBody,
{
    let mut body = Some(body);
    let slot: &mut dyn Any = &mut body;
    match slot.downcast_mut::<Option<B>>().and_then(Option::take) {
        Some(body) => body,
        None => B::from_body(body.expect("the body had another type, and was not taken")),
    }
}

/// The [`BodyMapping`] of [`BoxedCanaryLayer`](crate::BoxedCanaryLayer).
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct ToErasedBody;

impl<B: ErasedBody> BodyMapping<Response<ResponseBody<B>>> for ToErasedBody {
    type Response = Response<B>;

    fn map(response: Response<ResponseBody<B>>) -> Response<B> {
        response.map(ResponseBody::erase)
    }
}
