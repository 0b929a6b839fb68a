use http::{Method, Request, Response, StatusCode, header};
use http_body::Body;

use crate::service::protocol::asks_for_upgrade;

/// What a request's method says about the body of its response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Framing {
    Usual,
    /// HEAD: there is none.
    Never,
    /// CONNECT: a success has none and turns the connection into a tunnel.
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

    /// Whether the call's connection may become something else than HTTP.
    pub(crate) fn may_upgrade<B>(self, request: &Request<B>) -> bool {
        self == Self::Tunnel || asks_for_upgrade(request.headers())
    }

    /// Whether a response of this status makes it something else.
    pub(crate) fn upgrades(self, status: StatusCode) -> bool {
        status == StatusCode::SWITCHING_PROTOCOLS || (self == Self::Tunnel && status.is_success())
    }

    /// Whether the server sends nothing after the head of a response, whatever body it carries.
    pub(crate) fn has_no_body(self, status: StatusCode) -> bool {
        self == Self::Never
            || matches!(status.as_u16(), 100..200 | 204 | 304)
            || self.upgrades(status)
    }
}

/// Returns the length of the body that HTTP/1 announces in the head, if it is known.
pub(crate) fn content_length<B: Body>(response: &Response<B>) -> Option<u64> {
    match response.headers().get(header::CONTENT_LENGTH) {
        Some(length) => length.to_str().ok()?.parse().ok(),
        // Without the header, hyper announces the exact size of the body.
        None => response.body().size_hint().exact(),
    }
}
