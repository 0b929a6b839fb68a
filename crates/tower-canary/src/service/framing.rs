use http::{HeaderValue, Method, Request, StatusCode, Version};

use crate::service::request_headers::RequestHeaders;

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
    pub(crate) fn may_upgrade(self, headers: &RequestHeaders) -> bool {
        self == Self::Tunnel || headers.ask_for_upgrade
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

/// The `content-length` of a response.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum AnnouncedLength {
    None,
    Bytes(u64),
    /// Servers and clients reject it: it is no number, or there are several.
    Invalid,
}

impl AnnouncedLength {
    /// Returns the length that the header announces with one more value.
    pub(crate) fn and(self, value: &HeaderValue) -> Self {
        match (self, parse_digits(value.as_bytes())) {
            (Self::None, Some(bytes)) => Self::Bytes(bytes),
            (Self::Bytes(before), Some(bytes)) if before == bytes => self,
            _ => Self::Invalid,
        }
    }
}

/// Parses a number without a sign, which `u64::from_str` would accept.
fn parse_digits(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, byte| match byte {
        b'0'..=b'9' => number.checked_mul(10)?.checked_add(u64::from(byte - b'0')),
        _ => None,
    })
}

/// Returns whether the head of a request shows that it has no body.
pub(crate) fn has_no_body<B>(request: &Request<B>, headers: &RequestHeaders) -> bool {
    match headers.has_zero_length {
        Some(is_zero) => is_zero,
        // HTTP/2 needs neither of the headers for a body.
        None => {
            !headers.has_transfer_encoding
                && (request.version() < Version::HTTP_2 || request.method().is_safe())
        }
    }
}
