use http::{HeaderMap, HeaderValue, header};

use crate::service::protocol::{Protocol, is_grpc_type, is_upgrade};

/// The headers of a request that matter to every call.
///
/// One pass compares all names: hashing a name for each lookup takes longer.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RequestHeaders<'a> {
    content_type: Option<&'a HeaderValue>,
    pub(crate) content_length: Option<&'a HeaderValue>,
    pub(crate) has_transfer_encoding: bool,
    /// Whether the client asks for an upgrade of the connection.
    pub(crate) ask_for_upgrade: bool,
}

impl<'a> RequestHeaders<'a> {
    #[inline]
    pub(crate) fn of(headers: &'a HeaderMap) -> Self {
        let mut found = Self::default();
        for (name, value) in headers {
            if *name == header::CONTENT_TYPE {
                found.content_type.get_or_insert(value);
            } else if *name == header::CONTENT_LENGTH {
                found.content_length.get_or_insert(value);
            } else if *name == header::TRANSFER_ENCODING {
                found.has_transfer_encoding = true;
            } else if *name == header::UPGRADE {
                found.ask_for_upgrade |= is_upgrade(value);
            }
        }
        found
    }

    /// Returns the protocol that the request claims.
    #[inline]
    pub(crate) fn protocol(&self) -> Protocol {
        if self.content_type.is_some_and(is_grpc_type) { Protocol::Grpc } else { Protocol::Http }
    }
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
        assert_eq!(found.protocol(), Protocol::Grpc);
        assert_eq!(found.content_length.unwrap(), "0");
    }
}
