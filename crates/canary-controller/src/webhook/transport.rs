use std::pin::Pin;

use bytes::Bytes;
use http::{Request, Response, Uri};

use crate::BoxError;

/// The future returned by [`Transport::send`].
pub type SendFuture<'a> =
    Pin<Box<dyn Future<Output = Result<Response<Bytes>, BoxError>> + Send + 'a>>;

/// Sends HTTP requests: webhooks, and probes of a URL.
///
/// Most services use `HttpTransport` (feature `webhook`). Implement a transport of your own to use
/// a proxy or a client certificate, or to replace the network in tests. A function from a request
/// and a maximum number of bytes to a [`SendFuture`] is also a transport.
pub trait Transport: Send + Sync + 'static {
    /// Sends the request, whose URI is absolute, and reads at most `max_bytes` of the response
    /// body.
    ///
    /// Must not follow redirects: a signed body is meant only for the URL in the plan. Need not
    /// enforce a time limit: the caller drops the future.
    fn send(&self, request: Request<Bytes>, max_bytes: usize) -> SendFuture<'_>;

    /// Checks a target before a plan is accepted. By default, all targets are accepted.
    ///
    /// # Errors
    ///
    /// Returns the reason for which [`send`](Self::send) would always refuse the target.
    fn check_target(&self, _uri: &Uri) -> Result<(), String> {
        Ok(())
    }
}

impl<F> Transport for F
where
    F: Fn(Request<Bytes>, usize) -> SendFuture<'static> + Send + Sync + 'static,
{
    fn send(&self, request: Request<Bytes>, max_bytes: usize) -> SendFuture<'_> {
        self(request, max_bytes)
    }
}
