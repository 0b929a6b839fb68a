use std::{any::Any, mem};

use canary_core::Outcome;
use http::{HeaderMap, Response, StatusCode};

use crate::service::protocol::{GRPC_STATUS, Protocol};

/// Decides which responses count as failures.
///
/// A call is classified by the head of its response or, if the head does not decide, by its
/// trailers. Errors of the service or of the body, panics and missed deadlines are always failures,
/// and the classifier is not called for them. A classifier must not panic.
///
/// The default is [`ServerErrors`]. A closure classifies by the head. If it returns
/// [`Classification::Success`] for a gRPC call, whose status usually is in the trailers,
/// `ServerErrors` decides:
///
/// ```
/// use http::{Response, StatusCode};
/// use tower_canary::{CanaryOptions, classify::Classification};
///
/// let options = CanaryOptions::new().classify(|head: &Response<()>| match head.status() {
///     StatusCode::TOO_MANY_REQUESTS => Classification::Failure,
///     status if status.is_server_error() => Classification::Failure,
///     _ => Classification::Success,
/// });
/// # let _ = options;
/// ```
pub trait Classify: Send + Sync + 'static {
    /// Classifies a response by its head, or defers to the trailers.
    fn head(&self, protocol: Protocol, head: &Response<()>) -> HeadClassification;

    /// Classifies a response by its trailers, or by their absence.
    ///
    /// It is called if [`head`](Self::head) returned [`HeadClassification::AtEnd`].
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

/// The classification of a response.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "there is no third outcome of a response")]
pub enum Classification {
    /// The service worked, even if it rejected a bad request.
    Success,
    /// The service failed.
    Failure,
}

/// The result of [`Classify::head`].
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the head decides, or the end does")]
pub enum HeadClassification {
    /// The head decides.
    Final(Classification),
    /// The trailers decide.
    AtEnd,
}

/// Classifies server errors as failures, and errors of the caller as successes.
///
/// HTTP statuses from 500 up are failures. So are the gRPC codes that OpenTelemetry's semantic
/// conventions define as server errors: `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED`,
/// `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS`. A gRPC response that ends without a status is a
/// failure too.
///
/// ```
/// use tower_canary::{CanaryOptions, classify::ServerErrors};
///
/// const RESOURCE_EXHAUSTED: u8 = 8;
/// let options = CanaryOptions::new()
///     .classify(ServerErrors::default().grpc_failure(RESOURCE_EXHAUSTED));
/// # let _ = options;
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct ServerErrors {
    /// The gRPC codes that are failures, as a bitmap.
    grpc_codes: u32,
}

impl ServerErrors {
    /// Counts this gRPC status code as a failure.
    ///
    /// # Panics
    ///
    /// Panics if `code` is above 16, the highest code of gRPC.
    #[must_use]
    pub const fn grpc_failure(mut self, code: u8) -> Self {
        self.grpc_codes |= bit(code);
        self
    }

    /// Does not count this gRPC status code as a failure.
    ///
    /// # Panics
    ///
    /// Panics if `code` is above 16, the highest code of gRPC.
    #[must_use]
    pub const fn grpc_success(mut self, code: u8) -> Self {
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
            // The specification maps unknown codes to `UNKNOWN`.
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

/// The classifier of a canary. The default is stored inline, which avoids a dynamic call and
/// swapping the heads.
pub(crate) enum Classifier {
    ServerErrors(ServerErrors),
    Custom(Box<dyn Classify>),
}

impl Classifier {
    pub(crate) fn new(classify: impl Classify) -> Self {
        match (&classify as &dyn Any).downcast_ref() {
            Some(server_errors) => Self::ServerErrors(*server_errors),
            None => Self::Custom(Box::new(classify)),
        }
    }

    #[inline]
    pub(crate) fn head<R>(
        &self,
        protocol: Protocol,
        response: &mut Response<R>,
    ) -> HeadClassification {
        match self {
            Self::ServerErrors(server_errors) => {
                server_errors.of_head(protocol, response.status(), response.headers())
            }
            Self::Custom(classify) => {
                let mut head = Response::new(());
                swap_heads(&mut head, response);
                let class = classify.head(protocol, &head);
                swap_heads(&mut head, response);
                class
            }
        }
    }

    /// Returns the outcome of a call whose response ended.
    #[inline]
    pub(crate) fn outcome(
        &self,
        protocol: Protocol,
        head: Option<HeadClassification>,
        trailers: Option<&HeaderMap>,
    ) -> Outcome {
        let class = match head {
            Some(HeadClassification::Final(class)) => class,
            Some(HeadClassification::AtEnd) | None => self.trailers(protocol, trailers),
        };
        match class {
            Classification::Success => Outcome::Success,
            Classification::Failure => Outcome::Failure,
        }
    }

    fn trailers(&self, protocol: Protocol, trailers: Option<&HeaderMap>) -> Classification {
        match self {
            Self::ServerErrors(server_errors) => server_errors.trailers(protocol, trailers),
            Self::Custom(classify) => classify.trailers(protocol, trailers),
        }
    }
}

/// Swaps everything except the bodies. A clone of the head would allocate.
fn swap_heads<A, B>(a: &mut Response<A>, b: &mut Response<B>) {
    mem::swap(a.status_mut(), b.status_mut());
    mem::swap(a.version_mut(), b.version_mut());
    mem::swap(a.headers_mut(), b.headers_mut());
    mem::swap(a.extensions_mut(), b.extensions_mut());
}

const fn bit(code: u8) -> u32 {
    assert!(code <= MAX_GRPC_CODE, "gRPC status code above 16");
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
    fn http_server_errors_are_failures_and_client_errors_are_not() {
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
    fn grpc_server_errors_are_failures_and_client_errors_are_not() {
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
    fn a_grpc_response_without_a_status_is_a_failure() {
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
    fn the_set_of_failing_grpc_codes_can_be_changed() {
        let classify = ServerErrors::default().grpc_failure(8).grpc_success(12);
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
