use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;

use crate::service::protocol::asks_for_upgrade;

/// The effect of the request method on the response body.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    Usual,
    /// HEAD: the response has no body.
    Never,
    /// CONNECT: a successful response has no body, and the connection becomes a tunnel.
    Tunnel,
}

impl Framing {
    pub(crate) fn of(method: &Method) -> Self {
        match *method {
            Method::HEAD => Self::Never,
            Method::CONNECT => Self::Tunnel,
            _ => Self::Usual,
        }
    }

    /// Returns whether the connection may switch to another protocol.
    pub(crate) fn may_upgrade<B>(self, request: &Request<B>) -> bool {
        self == Self::Tunnel || asks_for_upgrade(request.headers())
    }

    /// Returns whether a response with this status switches the protocol.
    pub(crate) fn upgrades(self, status: StatusCode) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS || (self == Self::Tunnel && status.is_success())
    }

    /// Returns whether the server sends no body after a head with this status.
    pub(crate) fn has_no_body(self, status: StatusCode) -> bool {
        self == Self::Never
            || matches!(status.as_u16(), 100..200 | 204 | 304)
            || self.upgrades(status)
    }
}

/// Returns the body length in the head of an HTTP/1 response, if it is known.
pub(crate) fn content_length<B: Body>(response: &Response<B>) -> Option<u64> {
    match response.headers().get(header::CONTENT_LENGTH) {
        Some(length) => length.to_str().ok()?.parse().ok(),
        // Without the header, hyper adds one with the exact size of the body.
        None => response.body().size_hint().exact(),
    }
}
