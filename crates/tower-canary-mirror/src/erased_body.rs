use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};
use tower_canary::{
    body::{ResponseBody, UnifiedBody},
    internal::into_box_error,
};

/// The error type of boxed bodies.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A type-erased body: any other body can be converted into it.
///
/// The mirror wraps the bodies of the calls that it mirrors, to capture them while they are read.
/// To keep the types of the service, it erases the wrapper again. The request and response bodies
/// of the service must therefore implement this trait. The bodies of axum and tonic do, with the
/// features of those names.
///
/// If the service has another request body, such as hyper's `Incoming`, put tower-http's
/// `MapRequestBodyLayer::new(axum::body::Body::new)` outside the mirror. For another response body,
/// put `MapResponseBodyLayer` inside the mirror.
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

/// The response body of a canary layer. It allows a mirror around the layer.
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
