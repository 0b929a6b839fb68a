use std::fmt;

use crate::problem::{ApiError, Kind};

/// The reason why a request is refused. Nothing has changed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Fault {
    pub(super) kind: FaultKind,
    pub(super) message: String,
}

/// The kind of a [`Fault`], as an exception of the gateway.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum FaultKind {
    /// The request is wrong in every state of the rollout.
    BadRequest,
    /// The state of the rollout does not allow the operations.
    Conflict,
}

impl Fault {
    pub(super) fn bad_request(message: impl fmt::Display) -> Self {
        Self { kind: FaultKind::BadRequest, message: message.to_string() }
    }

    pub(super) fn conflict(message: impl fmt::Display) -> Self {
        Self { kind: FaultKind::Conflict, message: message.to_string() }
    }

    /// Puts the place of the fault before the message.
    pub(super) fn at(self, place: impl fmt::Display) -> Self {
        Self { message: format!("{place}: {}", self.message), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<Fault> for ApiError {
    fn from(fault: Fault) -> Self {
        let kind = match fault.kind {
            FaultKind::BadRequest => Kind::Invalid,
            FaultKind::Conflict => Kind::Refused,
        };
        Self::new(kind, fault.message)
    }
}

/// Quotes a text of the request, cut to 64 characters and without control characters.
pub(super) fn quoted(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{:?}..", &text[..end]),
        None => format!("{text:?}"),
    }
}

const SHOWN_CHARACTERS: usize = 64;
