use std::{any::Any, mem};

use http::{HeaderMap, Response, StatusCode};

use crate::service::protocol::{GRPC_STATUS, Protocol};

/// Decides which responses count as failures.
///
/// A call is classified by the head of its response or, if that does not tell, by its trailers. Some
/// failures are not asked about, since no response says otherwise: an error of the service or of the
/// body, a panic, a missed deadline. A classifier must not panic.
///
/// [`ServerErrors`] is the default. A closure decides by the head; of gRPC calls in whose head it finds no
/// failure, whose status is in the trailers as a rule, `ServerErrors` decides:
///
/// ```
/// use http::{Response, StatusCode};
/// use tower_canary::{CanaryOptions, Classification};
///
/// let options = CanaryOptions::new().classify(|head: &Response<()>| match head.status() {
///     StatusCode::TOO_MANY_REQUESTS => Classification::Failure,
///     status if status.is_server_error() => Classification::Failure,
///     _ => Classification::Success,
/// });
/// # let _ = options;
/// ```
pub trait Classify: Send + Sync + 'static {
    /// Classifies a response by its head, or says that its trailers will tell.
    fn head(&self, protocol: Protocol, head: &Response<()>) -> HeadClassification;

    /// Classifies a response by its trailers, which it may have ended without.
    ///
    /// Called only after [`head`](Self::head) said [`HeadClassification::AtEnd`].
    fn trailers(&self, protocol: Protocol, trailers: Option<&HeaderMap>) -> Classification;
}

impl<F> Classify for F
where
    F: Fn(&Response<()>) -> Classification + Send + Sync + 'static,
{
    fn head(&self, protocol: Protocol, head: &Response<()>) -> HeadClassification {
        match (self(head), protocol) {
            (Classification::Success, Protocol::Grpc) => {
                ServerErrors::default().head(protocol, head)
            }
            (class, _) => HeadClassification::Final(class),
        }
    }

    fn trailers(&self, protocol: Protocol, trailers: Option<&HeaderMap>) -> Classification {
        ServerErrors::default().trailers(protocol, trailers)
    }
}

/// What a response says of the service that made it.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a response counts as one or the other")]
pub enum Classification {
    /// The service did its work, be it to refuse a bad request.
    Success,
    /// The service failed.
    Failure,
}

/// What the head of a response says.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the head tells, or the end does")]
pub enum HeadClassification {
    /// The head tells.
    Final(Classification),
    /// The trailers will tell.
    AtEnd,
}

/// Server errors are failures; errors of the caller are not.
///
/// In HTTP these are the statuses from 500 up. In gRPC they are the codes that OpenTelemetry's semantic
/// conventions name as server errors: `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`, `INTERNAL`,
/// `UNAVAILABLE` and `DATA_LOSS`. A gRPC response that ends without any status is a failure, too.
///
/// ```
/// use tower_canary::{CanaryOptions, ServerErrors};
///
/// const RESOURCE_EXHAUSTED: u8 = 8;
/// let options = CanaryOptions::new()
///     .classify(ServerErrors::default().with_grpc_code(RESOURCE_EXHAUSTED));
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerErrors {
    /// A bit for each gRPC code that is a failure.
    grpc_codes: u32,
}

impl ServerErrors {
    /// Counts this gRPC status code as a failure too.
    ///
    /// # Panics
    ///
    /// If `code` is above 16: gRPC has no such code.
    #[must_use]
    pub const fn with_grpc_code(mut self, code: u8) -> Self {
        self.grpc_codes |= bit(code);
        self
    }

    /// Does not count this gRPC status code as a failure.
    ///
    /// # Panics
    ///
    /// If `code` is above 16: gRPC has no such code.
    #[must_use]
    pub const fn without_grpc_code(mut self, code: u8) -> Self {
        self.grpc_codes &= !bit(code);
        self
    }

    fn of_head(
        self,
        protocol: Protocol,
        status: StatusCode,
        headers: &HeaderMap,
    ) -> HeadClassification {
        match protocol {
            Protocol::Http if status.is_server_error() => {
                HeadClassification::Final(Classification::Failure)
            }
            Protocol::Http => HeadClassification::Final(Classification::Success),
            Protocol::Grpc => match self.grpc_status(headers) {
                Some(class) => HeadClassification::Final(class),
                None if status == StatusCode::OK => HeadClassification::AtEnd,
                None => HeadClassification::Final(Classification::Failure),
            },
        }
    }

    fn grpc_status(self, headers: &HeaderMap) -> Option<Classification> {
        let status = headers.get(&GRPC_STATUS)?.to_str().ok().and_then(|code| code.parse().ok());
        Some(match status {
            Some(code @ 0..=MAX_GRPC_CODE) if self.grpc_codes & bit(code) == 0 => {
                Classification::Success
            }
            // A code that gRPC does not know is to be read as `UNKNOWN`.
            _ => Classification::Failure,
        })
    }
}

impl Default for ServerErrors {
    fn default() -> Self {
        let [unknown, deadline_exceeded, unimplemented, internal, unavailable, data_loss] =
            [2, 4, 12, 13, 14, 15].map(bit);
        let codes =
            unknown | deadline_exceeded | unimplemented | internal | unavailable | data_loss;
        Self { grpc_codes: codes }
    }
}

impl Classify for ServerErrors {
    fn head(&self, protocol: Protocol, head: &Response<()>) -> HeadClassification {
        self.of_head(protocol, head.status(), head.headers())
    }

    fn trailers(&self, protocol: Protocol, trailers: Option<&HeaderMap>) -> Classification {
        match protocol {
            Protocol::Http => Classification::Success,
            Protocol::Grpc => trailers
                .and_then(|trailers| self.grpc_status(trailers))
                .unwrap_or(Classification::Failure),
        }
    }
}

/// The classifier of a canary: the usual one is asked without a detour.
pub(crate) enum Classifier {
    Usual(ServerErrors),
    Other(Box<dyn Classify>),
}

impl Classifier {
    pub(crate) fn new(classify: impl Classify) -> Self {
        match (&classify as &dyn Any).downcast_ref() {
            Some(usual) => Self::Usual(*usual),
            None => Self::Other(Box::new(classify)),
        }
    }

    #[inline]
    pub(crate) fn head<R>(
        &self,
        protocol: Protocol,
        response: &mut Response<R>,
    ) -> HeadClassification {
        match self {
            Self::Usual(usual) => usual.of_head(protocol, response.status(), response.headers()),
            Self::Other(other) => {
                let mut head = Response::new(());
                exchange_heads(&mut head, response);
                let class = other.head(protocol, &head);
                exchange_heads(&mut head, response);
                class
            }
        }
    }

    pub(crate) fn trailers(
        &self,
        protocol: Protocol,
        trailers: Option<&HeaderMap>,
    ) -> Classification {
        match self {
            Self::Usual(usual) => usual.trailers(protocol, trailers),
            Self::Other(other) => other.trailers(protocol, trailers),
        }
    }
}

/// Exchanges all but the bodies.
fn exchange_heads<A, B>(a: &mut Response<A>, b: &mut Response<B>) {
    mem::swap(a.status_mut(), b.status_mut());
    mem::swap(a.version_mut(), b.version_mut());
    mem::swap(a.headers_mut(), b.headers_mut());
    mem::swap(a.extensions_mut(), b.extensions_mut());
}

const fn bit(code: u8) -> u32 {
    assert!(code <= MAX_GRPC_CODE, "gRPC status codes are 0 to 16");
    1 << code
}

const MAX_GRPC_CODE: u8 = 16;

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn trailers(status: &'static str) -> HeaderMap {
        [(GRPC_STATUS.clone(), HeaderValue::from_static(status))].into_iter().collect()
    }

    fn http(status: u16) -> HeadClassification {
        let head = Response::builder().status(status).body(()).unwrap();
        ServerErrors::default().head(Protocol::Http, &head)
    }

    #[test]
    fn server_errors_fail_and_client_errors_do_not() {
        for status in [200, 204, 302, 400, 404, 429, 499] {
            assert_eq!(
                http(status),
                HeadClassification::Final(Classification::Success),
                "{status}"
            );
        }
        for status in [500, 503, 599] {
            assert_eq!(
                http(status),
                HeadClassification::Final(Classification::Failure),
                "{status}"
            );
        }
    }

    #[test]
    fn grpc_codes_of_the_server_fail() {
        for code in ["2", "4", "12", "13", "14", "15", "17", "-1", "abc", ""] {
            let class = ServerErrors::default().trailers(Protocol::Grpc, Some(&trailers(code)));
            assert_eq!(class, Classification::Failure, "{code:?}");
        }
        for code in ["0", "1", "3", "5", "6", "7", "8", "9", "10", "11", "16"] {
            let class = ServerErrors::default().trailers(Protocol::Grpc, Some(&trailers(code)));
            assert_eq!(class, Classification::Success, "{code:?}");
        }
    }

    #[test]
    fn a_grpc_response_without_a_status_fails() {
        let classify = ServerErrors::default();
        let head = Response::new(());
        assert_eq!(classify.head(Protocol::Grpc, &head), HeadClassification::AtEnd);
        assert_eq!(classify.trailers(Protocol::Grpc, None), Classification::Failure);
        assert_eq!(
            classify.trailers(Protocol::Grpc, Some(&HeaderMap::new())),
            Classification::Failure
        );
    }

    #[test]
    fn the_set_of_grpc_codes_can_be_chosen() {
        let classify = ServerErrors::default().with_grpc_code(8).without_grpc_code(12);
        assert_eq!(
            classify.trailers(Protocol::Grpc, Some(&trailers("8"))),
            Classification::Failure
        );
        assert_eq!(
            classify.trailers(Protocol::Grpc, Some(&trailers("12"))),
            Classification::Success
        );
    }
}
