use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};

use crate::service::header_search;

/// A status code of gRPC, 0 to 16.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct GrpcCode(u8);

impl GrpcCode {
    pub(crate) const OK: Self = Self(0);
    pub(crate) const UNKNOWN: Self = Self(2);
    pub(crate) const UNIMPLEMENTED: Self = Self(12);
    const PERMISSION_DENIED: Self = Self(7);
    const INTERNAL: Self = Self(13);
    const UNAVAILABLE: Self = Self(14);
    const UNAUTHENTICATED: Self = Self(16);

    /// The highest code.
    pub(crate) const MAX: u8 = 16;

    pub(crate) const fn value(self) -> u8 {
        self.0
    }

    /// Returns the code of `grpc-status`, if these headers or trailers have one.
    pub(crate) fn of_headers(headers: &HeaderMap) -> Option<Self> {
        header_search::find(headers, &GRPC_STATUS).map(Self::of_value)
    }

    /// Returns the code of a value of `grpc-status`.
    ///
    /// Clients accept only the decimal number without a sign or a leading zero. They treat all
    /// other values as `UNKNOWN`.
    pub(crate) fn of_value(value: &HeaderValue) -> Self {
        match *value.as_bytes() {
            [digit @ b'0'..=b'9'] => Self(digit - b'0'),
            [b'1', digit @ b'0'..=b'6'] => Self(10 + digit - b'0'),
            _ => Self::UNKNOWN,
        }
    }

    /// Returns the code of a response head with this `grpc-status`, or `None` if the trailers have
    /// the code.
    ///
    /// Without `grpc-status`, the HTTP status has a code by gRPC's
    /// [mapping](https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md).
    pub(crate) fn of_head(status: StatusCode, grpc_status: Option<Self>) -> Option<Self> {
        grpc_status.or(match status.as_u16() {
            200 => None,
            400 => Some(Self::INTERNAL),
            401 => Some(Self::UNAUTHENTICATED),
            403 => Some(Self::PERMISSION_DENIED),
            404 => Some(Self::UNIMPLEMENTED),
            429 | 502..=504 => Some(Self::UNAVAILABLE),
            _ => Some(Self::UNKNOWN),
        })
    }

    /// Returns whether these trailers have the status of a gRPC call.
    pub(crate) fn is_in(trailers: Option<&HeaderMap>) -> bool {
        trailers.is_some_and(|trailers| header_search::find(trailers, &GRPC_STATUS).is_some())
    }

    /// Returns the code at the end of a response. Without one, clients report `UNKNOWN`.
    pub(crate) fn of_trailers(trailers: Option<&HeaderMap>) -> Self {
        trailers.and_then(Self::of_headers).unwrap_or(Self::UNKNOWN)
    }
}

// A static: a lookup by string would normalize the name for each call.
pub(crate) static GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

#[cfg(test)]
mod tests {
    use super::*;

    fn code(status: &[u8]) -> Option<u8> {
        let status = HeaderValue::from_bytes(status).unwrap();
        let headers = [(GRPC_STATUS.clone(), status)].into_iter().collect();
        GrpcCode::of_headers(&headers).map(GrpcCode::value)
    }

    #[test]
    fn a_status_is_parsed_as_strictly_as_clients_do() {
        for value in 0..=GrpcCode::MAX {
            assert_eq!(code(value.to_string().as_bytes()), Some(value));
        }
        for value in [
            &b"+0"[..],
            b"00",
            b"05",
            b"-1",
            b"17",
            b"20",
            b"100",
            b"",
            b"0 ",
            b"0x0",
            b"a",
            b"\xff",
        ] {
            assert_eq!(code(value), Some(GrpcCode::UNKNOWN.value()), "{value:?}");
        }
        assert_eq!(GrpcCode::of_headers(&HeaderMap::new()), None);
    }

    #[test]
    fn an_http_status_without_a_grpc_status_has_a_code() {
        for (status, code) in [
            (200, None),
            (204, Some(2)),
            (302, Some(2)),
            (400, Some(13)),
            (401, Some(16)),
            (403, Some(7)),
            (404, Some(12)),
            (405, Some(2)),
            (408, Some(2)),
            (429, Some(14)),
            (500, Some(2)),
            (502, Some(14)),
            (503, Some(14)),
            (504, Some(14)),
            (600, Some(2)),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            let found = GrpcCode::of_head(status, None).map(GrpcCode::value);
            assert_eq!(found, code, "{status}");
        }
    }
}
