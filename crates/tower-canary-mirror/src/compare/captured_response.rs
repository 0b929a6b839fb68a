use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, response::Parts};

/// A copy of a response.
#[derive(Clone)]
pub struct CapturedResponse {
    status: StatusCode,
    headers: HeaderMap,
    body: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl CapturedResponse {
    /// Creates a response with an empty body.
    pub(crate) fn new(head: &Parts) -> Self {
        let (status, headers) = (head.status, head.headers.clone());
        Self { status, headers, body: Some(Bytes::new()), trailers: None }
    }

    pub(crate) fn set_body(&mut self, body: Option<Bytes>, trailers: Option<HeaderMap>) {
        self.body = body;
        self.trailers = trailers;
    }

    /// Returns the status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// Returns the headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Returns the complete body, or `None` if it exceeded a limit.
    #[must_use]
    pub const fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// Returns the trailers, if any.
    #[must_use]
    pub const fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }
}

/// Omits the values, which can contain secrets.
impl fmt::Debug for CapturedResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CapturedResponse")
            .field("status", &self.status)
            .field("body_length", &self.body.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}
