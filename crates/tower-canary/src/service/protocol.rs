use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::service::request_headers::RequestHeaders;

/// The protocol of a call.
///
/// By default, a call is gRPC if its request *and* its response are: a client of an HTTP service
/// cannot make its call a gRPC call by a header. [`CanaryOptions::protocol`] sets the protocol of
/// all calls instead.
///
/// [`CanaryOptions::protocol`]: crate::CanaryOptions::protocol
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Protocol {
    /// HTTP. The status code shows the outcome.
    ///
    /// gRPC-Web is HTTP here, because its status is in the body. Put a translation such as
    /// `tonic-web` outside of the layer, so that the layer sees gRPC.
    Http,
    /// gRPC. `grpc-status` shows the outcome, in the trailers or in the head of a response without
    /// a body. The HTTP status is 200 even for failures.
    Grpc,
}

impl Protocol {
    /// Returns the protocol of a call with these headers of the request and of the response.
    #[must_use]
    pub fn of(request: &HeaderMap, response: &HeaderMap) -> Self {
        RequestHeaders::of(request).protocol().confirmed_by(response)
    }

    /// Returns the protocol of a call whose request claims `self`.
    ///
    /// The response alone does not show it either: tonic responds with a gRPC status even to a
    /// browser that requests an unknown path.
    #[inline]
    pub(crate) fn confirmed_by(self, response: &HeaderMap) -> Self {
        match self {
            Self::Grpc if is_grpc(response) || has_grpc_status(response) => Self::Grpc,
            Self::Grpc | Self::Http => Self::Http,
        }
    }
}

fn is_grpc(response: &HeaderMap) -> bool {
    response.get(header::CONTENT_TYPE).is_some_and(is_grpc_type)
}

/// Returns whether these headers or trailers have the status of a gRPC call.
pub(crate) fn has_grpc_status(headers: &HeaderMap) -> bool {
    headers.contains_key(&GRPC_STATUS)
}

/// Returns whether the content type is `application/grpc`, with a suffix (`+proto`) or parameters.
pub(crate) fn is_grpc_type(content_type: &HeaderValue) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let Some((essence, rest)) = content_type.as_bytes().split_at_checked(GRPC.len()) else {
        return false;
    };
    // `application/grpc-web` is another protocol.
    essence.eq_ignore_ascii_case(GRPC) && matches!(rest, [] | [b'+' | b';' | b' ' | b'\t', ..])
}

/// Returns whether this value of `upgrade` asks for an upgrade of the connection.
///
/// `h2c` is ignored: some clients offer it with every request, and neither hyper nor tonic accepts
/// it.
pub(crate) fn is_upgrade(value: &HeaderValue) -> bool {
    !value.as_bytes().eq_ignore_ascii_case(b"h2c")
}

// A static: a lookup by string would normalize the name for each call.
pub(crate) static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

#[cfg(test)]
mod tests {
    use super::*;

    fn content_type(value: &'static str) -> HeaderMap {
        [(header::CONTENT_TYPE, HeaderValue::from_static(value))].into_iter().collect()
    }

    #[test]
    fn the_content_types_of_grpc_are_recognized_in_any_case() {
        for (value, protocol) in [
            ("application/grpc", Protocol::Grpc),
            ("application/grpc+proto", Protocol::Grpc),
            ("Application/gRPC+json", Protocol::Grpc),
            ("application/grpc; charset=utf-8", Protocol::Grpc),
            ("application/grpc ;charset=utf-8", Protocol::Grpc),
            ("APPLICATION/GRPC", Protocol::Grpc),
            ("application/grpc-web", Protocol::Http),
            ("application/grpc-web+proto", Protocol::Http),
            ("application/grpc-web-text", Protocol::Http),
            ("application/grpcx", Protocol::Http),
            ("application/grp", Protocol::Http),
            ("application/json", Protocol::Http),
            ("", Protocol::Http),
        ] {
            let headers = content_type(value);
            assert_eq!(Protocol::of(&headers, &headers), protocol, "{value}");
        }
    }

    #[test]
    fn a_call_is_grpc_only_if_request_and_response_are() {
        let (grpc, html) = (content_type("application/grpc"), content_type("text/html"));
        let status: HeaderMap =
            [(GRPC_STATUS.clone(), HeaderValue::from_static("0"))].into_iter().collect();
        for (request, response, protocol) in [
            (&grpc, &grpc, Protocol::Grpc),
            (&grpc, &status, Protocol::Grpc),
            (&grpc, &html, Protocol::Http),
            (&grpc, &HeaderMap::new(), Protocol::Http),
            (&html, &grpc, Protocol::Http),
            (&HeaderMap::new(), &status, Protocol::Http),
        ] {
            assert_eq!(Protocol::of(request, response), protocol, "{request:?}, {response:?}");
        }
    }
}
