use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response};

use crate::BoxError;

/// A response under way.
pub type SendFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Response<Bytes>, BoxError>> + Send + 'a>>;

/// Sends HTTP requests: webhooks, and probes of a URL.
///
/// `HttpTransport`, with the feature `webhook`, is what one usually wants. Another one can go through
/// a proxy, present a client's certificate, or stand in for the network in tests. Functions from a
/// request and a number of bytes to a boxed future are transports, too.
pub trait Transport: Send + Sync + 'static {
    /// Sends the request, whose URI is absolute, and reads up to so many bytes of the response's
    /// body.
    ///
    /// Redirects must not be followed: a signed body is for whom the plan names, and nobody else. Time
    /// limits are the caller's, who drops the future.
    fn send(&self, request: Request<Bytes>, max_bytes: usize) -> SendFuture<'_>;
}

impl<F> Transport for F
where
    F: Fn(Request<Bytes>, usize) -> SendFuture<'static> + Send + Sync + 'static,
{
    fn send(&self, request: Request<Bytes>, max_bytes: usize) -> SendFuture<'_> {
        self(request, max_bytes)
    }
}
