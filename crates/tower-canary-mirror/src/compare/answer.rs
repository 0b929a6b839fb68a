use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, response::Parts};

/// The answer of one channel.
#[derive(Clone)]
pub struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl Answer {
    /// An answer without a body.
    pub(crate) fn of_head(head: &Parts) -> Self {
        let (status, headers) = (head.status, head.headers.clone());
        Self { status, headers, body: Some(Bytes::new()), trailers: None }
    }

    pub(crate) fn set_body(&mut self, body: Option<Bytes>, trailers: Option<HeaderMap>) {
        self.body = body;
        self.trailers = trailers;
    }

    /// The status.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }

    /// The headers.
    #[must_use]
    pub const fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// The whole body, or none if it was larger than the bound.
    #[must_use]
    pub const fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// The trailers, if there were any.
    #[must_use]
    pub const fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }
}

/// Without the values, which may be secrets.
impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answer")
            .field("status", &self.status)
            .field("body_length", &self.body.as_ref().map(Bytes::len))
            .finish_non_exhaustive()
    }
}
