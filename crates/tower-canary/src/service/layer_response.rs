use http::{HeaderValue, Response, StatusCode, header};

use crate::service::{
    call::Call,
    protocol::{GRPC_STATUS, Protocol},
};

/// Why the layer itself answers a call, in the service's place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Refusal {
    Panicked,
    TimedOut,
}

impl Refusal {
    /// Ends the call with an answer of which nobody has seen anything yet.
    pub(crate) fn answer(self, mut call: Call) -> Response<()> {
        let mut head = Response::new(());
        match call.protocol() {
            Protocol::Http => *head.status_mut() = self.status(),
            Protocol::Grpc => {
                let (status, message) = self.grpc_status();
                let headers = head.headers_mut();
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
                headers.insert(&GRPC_STATUS, HeaderValue::from_static(status));
                headers.insert("grpc-message", HeaderValue::from_static(message));
            }
        }
        call.tag_response(&mut head);
        call.break_down(self);
        head
    }

    const fn status(self) -> StatusCode {
        match self {
            Self::Panicked => StatusCode::INTERNAL_SERVER_ERROR,
            Self::TimedOut => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    const fn grpc_status(self) -> (&'static str, &'static str) {
        match self {
            Self::Panicked => ("13", "the handler panicked"),
            Self::TimedOut => ("4", "the time limit is over"),
        }
    }
}
