use http::{HeaderMap, HeaderName, HeaderValue, header};

use crate::{
    select::BAGGAGE,
    service::{
        deadline::{CallerDeadline, GRPC_TIMEOUT},
        protocol::{Protocol, is_grpc_type, is_upgrade},
    },
};

/// The headers of a request that matter to every call.
///
/// All names are compared, because `http` hashes a name letter by letter for each lookup. Most
/// requests have none of these headers, so a first pass only looks at the names.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RequestHeaders {
    /// The protocol that the request claims.
    pub(crate) claims: Protocol,
    /// The deadline of the caller, if the call is gRPC.
    pub(crate) deadline: CallerDeadline,
    /// Whether the content length is zero, if there is one.
    pub(crate) has_zero_length: Option<bool>,
    pub(crate) has_transfer_encoding: bool,
    pub(crate) has_baggage: bool,
    /// Whether the client asks for an upgrade of the connection.
    pub(crate) ask_for_upgrade: bool,
}

impl RequestHeaders {
    const NONE: Self = Self {
        claims: Protocol::Http,
        deadline: CallerDeadline::NONE,
        has_zero_length: None,
        has_transfer_encoding: false,
        has_baggage: false,
        ask_for_upgrade: false,
    };

    #[inline]
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if headers.keys().any(matters) { Self::find(headers) } else { Self::NONE }
    }

    #[inline(never)]
    fn find(headers: &HeaderMap) -> Self {
        let mut found = Self::NONE;
        let (mut content_type, mut timeout) = (None::<&HeaderValue>, None::<&HeaderValue>);
        for (name, value) in headers {
            if *name == header::CONTENT_TYPE {
                content_type.get_or_insert(value);
            } else if *name == header::CONTENT_LENGTH {
                found.has_zero_length.get_or_insert(*value == "0");
            } else if *name == header::TRANSFER_ENCODING {
                found.has_transfer_encoding = true;
            } else if *name == header::UPGRADE {
                found.ask_for_upgrade |= is_upgrade(value);
            } else if *name == GRPC_TIMEOUT {
                timeout.get_or_insert(value);
            } else if *name == BAGGAGE {
                found.has_baggage = true;
            }
        }
        if content_type.is_some_and(is_grpc_type) {
            found.claims = Protocol::Grpc;
        }
        if let Some(timeout) = timeout {
            found.deadline = CallerDeadline::of(timeout);
        }
        found
    }
}

/// Returns whether [`RequestHeaders::find`] reads the header.
#[inline]
fn matters(name: &HeaderName) -> bool {
    *name == header::CONTENT_TYPE
        || *name == header::CONTENT_LENGTH
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || *name == GRPC_TIMEOUT
        || *name == BAGGAGE
}

#[cfg(test)]
mod tests {
    use super::*;

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
            let headers: HeaderMap = values.collect();
            assert_eq!(RequestHeaders::of(&headers).ask_for_upgrade, is_upgrade);
        }
    }

    #[test]
    fn each_header_is_found_alone() {
        for (name, value) in [
            ("content-type", "application/grpc"),
            ("content-length", "0"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("grpc-timeout", "1S"),
            ("baggage", "a=b"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static("shop"));
            let without = format!("{:?}", RequestHeaders::of(&headers));
            headers.insert(name, HeaderValue::from_static(value));
            assert_ne!(format!("{:?}", RequestHeaders::of(&headers)), without, "{name}");
        }
    }

    #[test]
    fn the_first_of_repeated_values_counts() {
        let headers: HeaderMap = [
            (header::CONTENT_TYPE, HeaderValue::from_static("application/grpc")),
            (header::CONTENT_TYPE, HeaderValue::from_static("text/html")),
            (header::CONTENT_LENGTH, HeaderValue::from_static("0")),
            (header::CONTENT_LENGTH, HeaderValue::from_static("1")),
        ]
        .into_iter()
        .collect();
        let found = RequestHeaders::of(&headers);
        assert_eq!(found.claims, Protocol::Grpc);
        assert_eq!(found.has_zero_length, Some(true));
    }
}
