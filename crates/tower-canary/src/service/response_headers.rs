use http::{HeaderMap, HeaderValue, header};

use crate::{
    config::grpc_code::{GRPC_STATUS, GrpcCode},
    service::{
        framing::AnnouncedLength,
        protocol::{Protocol, is_grpc_type},
        request_headers::RequestHeaders,
    },
};

/// The headers of a response that matter to every call.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ResponseHeaders {
    /// Whether the content type or a status is that of gRPC, if the request claims gRPC.
    pub(crate) is_grpc: bool,
    /// The status of gRPC, if the request claims gRPC.
    pub(crate) grpc_status: Option<GrpcCode>,
    pub(crate) announced: AnnouncedLength,
}

impl ResponseHeaders {
    const NONE: Self = Self { is_grpc: false, grpc_status: None, announced: AnnouncedLength::None };

    /// Finds the headers of a response to a request that claims this protocol.
    #[inline]
    pub(crate) fn of(headers: &HeaderMap, claims: Protocol) -> Self {
        match claims {
            Protocol::Http if !headers.keys().any(|name| *name == header::CONTENT_LENGTH) => {
                Self::NONE
            }
            Protocol::Http => Self { announced: announced_length(headers), ..Self::NONE },
            Protocol::Grpc => Self::of_grpc(headers),
        }
    }

    /// Compares the names in one pass: to hash a name for each lookup takes longer.
    #[inline(never)]
    fn of_grpc(headers: &HeaderMap) -> Self {
        let mut content_type: Option<&HeaderValue> = None;
        let mut found = Self::NONE;
        for (name, value) in headers {
            if *name == header::CONTENT_TYPE {
                content_type.get_or_insert(value);
            } else if *name == header::CONTENT_LENGTH {
                found.announced = found.announced.and(value);
            } else if *name == GRPC_STATUS {
                found.grpc_status.get_or_insert_with(|| GrpcCode::of_value(value));
            }
        }
        found.is_grpc = found.grpc_status.is_some() || content_type.is_some_and(is_grpc_type);
        found
    }
}

#[inline(never)]
fn announced_length(headers: &HeaderMap) -> AnnouncedLength {
    let values = headers.iter().filter(|(name, _)| **name == header::CONTENT_LENGTH);
    values.fold(AnnouncedLength::None, |announced, (_, value)| announced.and(value))
}

impl Protocol {
    /// Returns the protocol of a call with these headers of the request and of the response.
    #[must_use]
    pub fn of(request: &HeaderMap, response: &HeaderMap) -> Self {
        let claims = RequestHeaders::of(request).claims;
        claims.confirmed_by(ResponseHeaders::of(response, claims).is_grpc)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

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
