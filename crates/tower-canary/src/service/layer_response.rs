use http::{HeaderValue, Response, StatusCode, header};

use crate::{config::grpc_code::GRPC_STATUS, service::protocol::Protocol};

/// A response that the layer makes in place of the service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum LayerResponse {
    Panic,
    Timeout,
}

impl LayerResponse {
    /// Builds the response in the protocol of the call.
    pub(crate) fn into_response(self, protocol: Protocol) -> Response<()> {
        let mut head = Response::new(());
        match protocol {
            Protocol::Http => *head.status_mut() = self.status(),
            Protocol::Grpc => {
                let (status, message) = self.grpc_status();
                let headers = head.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(&GRPC_STATUS, HeaderValue::from_static(status));
                headers.insert("grpc-message", HeaderValue::from_static(message));
            }
        }
        head
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Panic => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Timeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    const fn grpc_status(self) -> (&'static str, &'static str) {
        match self {
            Self::Panic => ("13", "the handler panicked"),
            Self::Timeout => ("4", "the time limit was exceeded"),
        }
    }
}
