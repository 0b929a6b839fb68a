use http::{Method, Request, Response, StatusCode, Version, header};
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

/// Returns whether a server cannot send a head with this status as the final one.
///
/// hyper sends 500 instead in HTTP/1. In HTTP/2, the client never gets a final head.
pub(crate) fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Returns the body length that the head of a response announces, if it does.
pub(crate) fn announced_length<B>(response: &Response<B>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Returns the length of the body that the client expects, if it is known.
pub(crate) fn expected_length<B: Body>(response: &Response<B>) -> Option<u64> {
    if response.headers().contains_key(header::CONTENT_LENGTH) {
        return announced_length(response);
    }
    // Without the header, hyper adds one with the exact size of the body.
    response.body().size_hint().exact()
}

/// Returns whether the head of a request shows that it has no body.
pub(crate) fn has_no_body<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    match headers.get(header::CONTENT_LENGTH) {
        Some(length) => length == "0",
        // HTTP/2 needs neither of the headers for a body.
        None => {
            !headers.contains_key(header::TRANSFER_ENCODING)
                && (request.version() < Version::HTTP_2 || request.method().is_safe())
        }
    }
}
