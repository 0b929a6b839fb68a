use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Request, header};

/// The protocol of a call, as its request's `content-type` has it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP: the status code says how the call went.
    Http,
    /// gRPC: the status is in the trailers, or in the head of a response without a body, and the HTTP
    /// status is 200 whatever happened.
    Grpc,
}

impl Protocol {
    /// The protocol of this request.
    ///
    /// The request decides, not the response: tonic answers an unknown path of a browser with a
    /// gRPC status, too.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Self {
        Self::of_headers(request.headers())
    }

    /// The protocol of a request with these headers.
    #[must_use]
    pub fn of_headers(headers: &HeaderMap) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        match content_type.and_then(|value| value.strip_prefix(b"application/grpc")) {
            // `application/grpc-web` carries its trailers in the body, where we do not look.
            Some([] | [b'+' | b';' | b' ', ..]) => Self::Grpc,
            _ => Self::Http,
        }
    }
}

/// Whether the connection may become another protocol's. An offer of HTTP/2 over plain text, which some
/// clients make with every request, is none that a server of ours takes up.
pub(crate) fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::UPGRADE)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c"))
}

/// The time that the caller of a gRPC method is ready to wait.
pub(crate) fn grpc_timeout(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(&GRPC_TIMEOUT)?.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    // The protocol allows at most eight digits.
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

// Names that are made once: a text would be looked at letter by letter for each call.
pub(crate) static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grpc_is_known_by_the_content_type_of_the_request() {
        for (content_type, protocol) in [
            ("application/grpc", Protocol::Grpc),
            ("application/grpc+proto", Protocol::Grpc),
            ("application/grpc; charset=utf-8", Protocol::Grpc),
            ("application/grpc-web", Protocol::Http),
            ("application/grpc-web+proto", Protocol::Http),
            ("application/json", Protocol::Http),
        ] {
            let request = Request::builder().header("content-type", content_type).body(()).unwrap();
            assert_eq!(Protocol::of(&request), protocol, "{content_type}");
        }
        assert_eq!(Protocol::of(&Request::new(())), Protocol::Http);
    }

    #[test]
    fn an_offer_of_http2_is_no_upgrade() {
        for (values, is_upgrade) in [
            (&[][..], false),
            (&["h2c"], false),
            (&["H2C"], false),
            (&["websocket"], true),
            (&["h2c", "websocket"], true),
        ] {
            let values =
                values.iter().map(|value| (header::UPGRADE, HeaderValue::from_static(value)));
            assert_eq!(asks_for_upgrade(&values.collect()), is_upgrade);
        }
    }

    #[test]
    fn timeouts_parse_in_every_unit_and_nonsense_is_no_timeout() {
        for (value, timeout) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("100m", Some(Duration::from_millis(100))),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("5n", Some(Duration::from_nanos(5))),
            ("", None),
            ("m", None),
            ("5", None),
            ("-5m", None),
            ("123456789m", None),
            ("5x", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(value));
            assert_eq!(grpc_timeout(&headers), timeout, "{value:?}");
        }
        let mut headers = HeaderMap::new();
        headers.insert("grpc-timeout", HeaderValue::from_bytes(b"5\xff").unwrap());
        assert_eq!(grpc_timeout(&headers), None);
    }
}
