use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt, combinators::UnsyncBoxBody};

use tower_canary::body::{ResponseBody, UnifiedBody};

/// The error type of boxed bodies.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A body type into which any other body can be put.
///
/// The mirror reads along with the bodies of the calls that it copies. So that it can do so without a
/// change of the service's types, and at no cost for the other calls, the bodies of requests and responses
/// must be of such a type. Those of axum and tonic are (features `axum` and `tonic`), and those here.
///
/// For a service that takes another, such as hyper's `Incoming`, put tower-http's
/// `MapRequestBodyLayer::new(axum::body::Body::new)` outside of the mirror, and `MapResponseBodyLayer`
/// inside.
pub trait AnyBody: Body<Data = Bytes, Error: Into<BoxError>> + Send + Sized + 'static {
    /// Puts a body into one of this type.
    fn of<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static;
}

impl AnyBody for UnsyncBoxBody<Bytes, BoxError> {
    fn of<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        body.map_err(Into::into).boxed_unsync()
    }
}

impl AnyBody for UnifiedBody<Bytes> {
    fn of<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self::new(body)
    }
}

/// The body of a canary's answer, so that a mirror can be around the whole canary.
impl<B: AnyBody> AnyBody for ResponseBody<B> {
    fn of<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self::untracked(B::of(body))
    }
}

#[cfg(feature = "axum")]
impl AnyBody for axum::body::Body {
    fn of<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self::new(body)
    }
}

#[cfg(feature = "tonic")]
impl AnyBody for tonic::body::Body {
    fn of<T>(body: T) -> Self
    where
        T: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
    {
        Self::new(body)
    }
}
