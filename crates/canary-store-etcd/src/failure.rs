use std::error::Error;

use tonic::{Code, ConnectError, Status};

/// A failed attempt of a call.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    pub(crate) cause: String,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FailureKind {
    /// Nothing was changed. Another endpoint or a later attempt may succeed.
    Unavailable,
    /// The request may have been executed, or may be executed later.
    Unanswered,
    /// Nothing was changed. An operator must act.
    Refused,
    /// Nothing was changed. A new token may help.
    InvalidToken,
}

impl Failure {
    pub(crate) fn new(kind: FailureKind, cause: impl Into<String>) -> Self {
        Self { kind, cause: cause.into() }
    }

    pub(crate) fn of(status: &Status) -> Self {
        Self::new(kind(status), cause(status))
    }
}

/// Returns what a status says about the request. Only a status that shows that the request was not
/// executed is definite; a proxy or a broken connection leaves it open.
fn kind(status: &Status) -> FailureKind {
    if sources(status).any(|source| source.is::<ConnectError>()) {
        return FailureKind::Unavailable;
    }
    if status.source().is_some() {
        return FailureKind::Unanswered;
    }
    let message = status.message();
    if TOKEN_MESSAGES.iter().any(|it| message.contains(it)) {
        return FailureKind::InvalidToken;
    }
    match status.code() {
        Code::Unavailable | Code::ResourceExhausted
            if DEFINITE_MESSAGES.iter().any(|it| message.contains(it)) =>
        {
            FailureKind::Unavailable
        }
        Code::FailedPrecondition
        | Code::InvalidArgument
        | Code::OutOfRange
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::Unimplemented => FailureKind::Refused,
        _ => FailureKind::Unanswered,
    }
}

/// Returns the causes in one line, such as "tcp connect error: Connection refused (os error 111)".
fn cause(status: &Status) -> String {
    let mut causes: Vec<String> = Vec::new();
    let texts = sources(status).map(ToString::to_string).filter(|it| it != "transport error");
    for text in texts {
        if !causes.iter().any(|it| it.contains(&text)) {
            causes.push(text);
        }
    }
    match (causes.is_empty(), status.message()) {
        (false, _) => causes.join(": "),
        (true, "") => status.code().to_string(),
        (true, message) => message.to_owned(),
    }
}

fn sources(status: &Status) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(status.source(), |&error| error.source())
}

/// Messages of etcd for a token that has expired, that a restarted member does not know, that is
/// older than the last change of a permission, or that is missing because authentication was enabled
/// later.
const TOKEN_MESSAGES: [&str; 4] = [
    "invalid auth token",
    "revision in header is old",
    "revision of auth store is old",
    "user name is empty",
];

/// Messages of etcd for requests that it did not begin, or that had no effect.
const DEFINITE_MESSAGES: [&str; 3] =
    ["etcdserver: no leader", "etcdserver: too many requests", "database space exceeded"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_known_answers_are_definite() {
        let cases = [
            (Status::unavailable("etcdserver: no leader"), FailureKind::Unavailable),
            (Status::unavailable("etcdserver: leader changed"), FailureKind::Unanswered),
            (Status::unavailable("etcdserver: request timed out"), FailureKind::Unanswered),
            (Status::unavailable("HTTP status code 503"), FailureKind::Unanswered),
            (
                Status::resource_exhausted("etcdserver: mvcc: database space exceeded"),
                FailureKind::Unavailable,
            ),
            (Status::permission_denied("etcdserver: permission denied"), FailureKind::Refused),
            (Status::invalid_argument("etcdserver: user name is empty"), FailureKind::InvalidToken),
            (Status::unknown("auth: revision in header is old"), FailureKind::InvalidToken),
            (Status::unauthenticated("etcdserver: invalid auth token"), FailureKind::InvalidToken),
            (Status::deadline_exceeded(""), FailureKind::Unanswered),
            (Status::internal("a torn message"), FailureKind::Unanswered),
        ];
        for (status, expected) in cases {
            assert_eq!(Failure::of(&status).kind, expected, "{status}");
        }
    }

    #[test]
    fn a_status_without_a_message_is_described_by_its_code() {
        let failure = Failure::of(&Status::deadline_exceeded(""));
        assert_eq!(failure.cause, Code::DeadlineExceeded.to_string());
    }
}
