use http::{HeaderMap, HeaderName, HeaderValue, Request, header};

/// The protocol of a call, according to the `content-type` of its request.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP. The status code shows the outcome.
    Http,
    /// gRPC. `grpc-status` shows the outcome, in the trailers or in the head of a response without
    /// a body. The HTTP status is 200 even for failures.
    Grpc,
}

impl Protocol {
    /// Returns the protocol of a request.
    ///
    /// The response does not show it: tonic responds with a gRPC status even to a browser that
    /// requests an unknown path.
    #[must_use]
    pub fn of<B>(request: &Request<B>) -> Self {
        Self::of_headers(request.headers())
    }

    /// Returns the protocol of a request with these headers.
    #[must_use]
    pub fn of_headers(headers: &HeaderMap) -> Self {
        let content_type = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        match content_type.and_then(|value| value.strip_prefix(b"application/grpc")) {
            // `application/grpc-web` has its trailers in the body, which is not parsed.
            Some([] | [b'+' | b';' | b' ', ..]) => Self::Grpc,
            _ => Self::Http,
        }
    }
}

/// Returns whether the client asks for an upgrade of the connection.
///
/// `h2c` is ignored: some clients offer it with every request, and neither hyper nor tonic accepts
/// it.
pub(crate) fn asks_for_upgrade(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::UPGRADE)
        .iter()
        .any(|value| !value.as_bytes().eq_ignore_ascii_case(b"h2c"))
}

// A static: a lookup by string would normalize the name for each call.
pub(crate) static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_content_type_of_the_request_identifies_grpc() {
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
    fn an_offer_of_h2c_is_not_an_upgrade() {
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
}
