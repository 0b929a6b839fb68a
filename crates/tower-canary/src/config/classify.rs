use std::{any::Any, mem};

use http::{HeaderMap, Response, StatusCode};

use crate::{config::grpc_code::GrpcCode, service::protocol::Protocol};

/// Decides which responses count as failures.
///
/// A call is classified by the head of its response or, if the head does not decide, by its
/// trailers. The classifier is not called if there is nothing to decide:
///
/// | the response | the outcome |
/// |---|---|
/// | an error of the service or of the body, a panic, a missed deadline | failure |
/// | broken: its body ends before its `content-length` or exceeds it, its `content-length` is not a number, or its status is below 200, except for 101 | failure |
/// | HTTP 408, if the service was not waiting for the body of the request: its own timeout | failure |
/// | gRPC `UNIMPLEMENTED`, by a method that stable has not answered with `OK`, after its first response to any call | [client-made](Classification::ClientMade) |
///
/// A classifier must not panic.
///
/// The default is [`ServerErrors`]. A closure classifies by the head. If it returns
/// [`Classification::Success`], `ServerErrors` decides between success and
/// [client-made](Classification::ClientMade), and about the status of a gRPC call, which usually is
/// in the trailers:
///
/// ```
/// use http::{Response, StatusCode};
/// use tower_canary::{CanaryOptions, classify::Classification};
///
/// let options = CanaryOptions::new().classify(|head: &Response<()>| match head.status() {
///     StatusCode::TOO_MANY_REQUESTS => Classification::Failure,
///     status if status.as_u16() >= 500 => Classification::Failure,
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
            (Classification::Success, Protocol::Http) if is_client_made(head.status()) => {
                HeadClassification::Final(Classification::ClientMade)
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
#[non_exhaustive]
pub enum Classification {
    /// The service worked, even if it rejected a bad request.
    Success,
    /// The request alone made the response: it named nothing that the service has.
    ///
    /// It shows nothing about the release, and any caller can make such responses. The call counts
    /// as a success and as [client-made](crate::counts::ChannelCounts::client_made), and is not
    /// compared between the channels.
    ClientMade,
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
/// | failures | |
/// |---|---|
/// | HTTP | all statuses from 500 up, including 600 to 999 |
/// | gRPC | the codes that OpenTelemetry's semantic conventions define as server errors: `UNKNOWN`, `DEADLINE_EXCEEDED`, `UNIMPLEMENTED` by a method that stable serves, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS` |
///
/// | [client-made](Classification::ClientMade) | |
/// |---|---|
/// | HTTP | 404, 405, and 408 while the service waits for the body of the request |
/// | gRPC | `UNIMPLEMENTED` by any other method |
///
/// A gRPC response without `grpc-status` has the code that clients derive from its HTTP status:
/// 401 is `UNAUTHENTICATED`, 429 and 502 to 504 are `UNAVAILABLE`, and so on. A response that ends
/// without a status is `UNKNOWN`. So is each value of `grpc-status` that clients do not accept.
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
        code: impl FnOnce() -> Option<GrpcCode>,
    ) -> HeadClassification {
        match protocol {
            Protocol::Http => HeadClassification::Final(if status.as_u16() >= 500 {
                Classification::Failure
            } else if is_client_made(status) {
                Classification::ClientMade
            } else {
                Classification::Success
            }),
            Protocol::Grpc => code().map_or(HeadClassification::AtEnd, |code| {
                HeadClassification::Final(self.of_code(code))
            }),
        }
    }

    fn of_end(self, protocol: Protocol, code: impl FnOnce() -> GrpcCode) -> Classification {
        match protocol {
            Protocol::Http => Classification::Success,
            Protocol::Grpc => self.of_code(code()),
        }
    }

    const fn of_code(self, code: GrpcCode) -> Classification {
        if self.grpc_codes & bit(code.value()) == 0 {
            Classification::Success
        } else {
            Classification::Failure
        }
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
        let (status, headers) = (head.status(), head.headers());
        self.of_head(protocol, status, || GrpcCode::of_head(status, GrpcCode::of_headers(headers)))
    }

    fn trailers(&self, protocol: Protocol, trailers: Option<&HeaderMap>) -> Classification {
        self.of_end(protocol, || GrpcCode::of_trailers(trailers))
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

    /// Classifies the head of a response. `code` is its [code](GrpcCode::of_head) in gRPC.
    #[inline]
    pub(crate) fn head<R>(
        &self,
        protocol: Protocol,
        code: Option<GrpcCode>,
        response: &mut Response<R>,
    ) -> HeadClassification {
        match self {
            Self::ServerErrors(server_errors) => {
                server_errors.of_head(protocol, response.status(), || code)
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

    /// Classifies the end of a response. `code` is that of the trailers in gRPC.
    pub(crate) fn trailers(
        &self,
        protocol: Protocol,
        code: GrpcCode,
        trailers: Option<&HeaderMap>,
    ) -> Classification {
        match self {
            Self::ServerErrors(server_errors) => server_errors.of_end(protocol, || code),
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

/// Returns whether a request that names nothing that the service has gets this status, or one
/// whose body does not arrive.
const fn is_client_made(status: StatusCode) -> bool {
    matches!(status.as_u16(), 404 | 405 | 408)
}

const fn bit(code: u8) -> u32 {
    assert!(code <= GrpcCode::MAX, "gRPC status code above 16");
    1 << code
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::config::grpc_code::GRPC_STATUS;

    fn trailers(status: &'static str) -> HeaderMap {
        [(GRPC_STATUS.clone(), HeaderValue::from_static(status))].into_iter().collect()
    }

    fn http(status: u16) -> HeadClassification {
        let head = Response::builder().status(status).body(()).unwrap();
        ServerErrors::default().head(Protocol::Http, &head)
    }

    #[test]
    fn http_server_errors_are_failures_and_client_errors_are_not() {
        for (statuses, class) in [
            (&[200, 204, 302, 400, 401, 403, 409, 429, 499][..], Classification::Success),
            (&[404, 405, 408], Classification::ClientMade),
            (&[500, 501, 503, 599, 600, 999], Classification::Failure),
        ] {
            for status in statuses {
                assert_eq!(http(*status), HeadClassification::Final(class), "{status}");
            }
        }
    }

    #[test]
    fn a_closure_separates_client_made_responses_too() {
        let closure = |head: &Response<()>| match head.status() {
            StatusCode::NOT_FOUND => Classification::Failure,
            _ => Classification::Success,
        };
        for (status, class) in [
            (200, Classification::Success),
            (404, Classification::Failure),
            (405, Classification::ClientMade),
        ] {
            let head = Response::builder().status(status).body(()).unwrap();
            let found = closure.head(Protocol::Http, &head);
            assert_eq!(found, HeadClassification::Final(class), "{status}");
        }
    }

    #[test]
    fn grpc_server_errors_are_failures_and_client_errors_are_not() {
        for code in ["2", "4", "12", "13", "14", "15", "17", "-1", "+0", "00", "05", "abc", ""] {
            let class = ServerErrors::default().trailers(Protocol::Grpc, Some(&trailers(code)));
            assert_eq!(class, Classification::Failure, "{code:?}");
        }
        for code in ["0", "1", "3", "5", "6", "7", "8", "9", "10", "11", "16"] {
            let class = ServerErrors::default().trailers(Protocol::Grpc, Some(&trailers(code)));
            assert_eq!(class, Classification::Success, "{code:?}");
        }
    }

    #[test]
    fn a_grpc_response_without_a_status_has_the_code_of_its_http_status() {
        for (status, class) in [
            (401, Classification::Success),
            (403, Classification::Success),
            (400, Classification::Failure),
            (404, Classification::Failure),
            (429, Classification::Failure),
            (503, Classification::Failure),
        ] {
            let head = Response::builder().status(status).body(()).unwrap();
            let found = ServerErrors::default().head(Protocol::Grpc, &head);
            assert_eq!(found, HeadClassification::Final(class), "{status}");
        }
        // The codes that count as failures decide.
        let classify = ServerErrors::default().grpc_failure(16).grpc_success(14);
        for (status, class) in [(401, Classification::Failure), (503, Classification::Success)] {
            let head = Response::builder().status(status).body(()).unwrap();
            let found = classify.head(Protocol::Grpc, &head);
            assert_eq!(found, HeadClassification::Final(class), "{status}");
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
