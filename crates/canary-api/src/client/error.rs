use std::{error::Error, fmt, io, time::Duration};

use http::StatusCode;

use crate::problem::Problem;

/// The reason why a request, or a stream, has failed.
///
/// It prints as one sentence with everything that a person needs; there is no need to print its
/// source as well.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The URL of the API is invalid.
    #[error("{0}")]
    Url(String),
    /// Another setting of the client is invalid.
    #[error("{0}")]
    Settings(String),
    /// No connection was made, so the server has not got the request.
    #[error("cannot connect to {url}: {reason}")]
    Connect {
        /// The URL of the API.
        url: String,
        /// The reason, and what to do about it.
        reason: String,
        /// Whether a later attempt can succeed.
        is_transient: bool,
    },
    /// The connection ended before the end of the response. A command may have been carried out.
    #[error("the connection to {url} was lost: {reason}")]
    Lost {
        /// The URL of the request.
        url: String,
        /// The reason.
        reason: String,
    },
    /// The server did not respond in time. A command may have been carried out.
    #[error("no response from {url} within {}s", after.as_secs_f64())]
    Timeout {
        /// The URL of the request.
        url: String,
        /// The time limit.
        after: Duration,
    },
    /// The server refused the request, and says why.
    #[error("{}", problem_sentence(.0))]
    Problem(Box<Problem>),
    /// The response is none of this API.
    #[error("unexpected response from {url}: {reason}")]
    Protocol {
        /// The URL of the request.
        url: String,
        /// The expectation, and the response.
        reason: String,
        /// The status of the response.
        status: u16,
    },
}

/// As `Display`: `main` prints the error that it returns with `Debug`.
impl fmt::Debug for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ClientError {
    /// Returns whether the same request can succeed later, without a change by the caller.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Url(_) | Self::Settings(_) => false,
            Self::Connect { is_transient, .. } => *is_transient,
            Self::Lost { .. } | Self::Timeout { .. } => true,
            Self::Problem(problem) => is_transient_status(problem.status),
            Self::Protocol { status, .. } => is_transient_status(*status),
        }
    }

    /// Returns whether the server can have carried out the command of the request, although this
    /// client does not know.
    #[must_use]
    pub fn is_outcome_unknown(&self) -> bool {
        match self {
            Self::Lost { .. } | Self::Timeout { .. } => true,
            // A proxy gave up waiting for the server.
            Self::Protocol { status, .. } => matches!(status, 502 | 504),
            Self::Url(_) | Self::Settings(_) | Self::Connect { .. } | Self::Problem(_) => false,
        }
    }

    /// Returns the problem that the server sent.
    #[must_use]
    pub fn problem(&self) -> Option<&Problem> {
        if let Self::Problem(problem) = self { Some(problem) } else { None }
    }

    pub(super) fn connect(url: &str, error: &(dyn Error + 'static)) -> Self {
        let (reason, is_transient) = connect_reason(error);
        Self::Connect { url: url.to_owned(), reason, is_transient }
    }

    pub(super) fn lost(url: &str, error: &(dyn Error + 'static)) -> Self {
        Self::Lost { url: url.to_owned(), reason: root_cause(error).to_string() }
    }

    pub(super) fn protocol(url: &str, status: StatusCode, reason: impl Into<String>) -> Self {
        Self::Protocol { url: url.to_owned(), reason: reason.into(), status: status.as_u16() }
    }
}

/// Returns the detail of a problem. If a value is invalid, its field and the expectation belong to it;
/// of a conflict they only tell what a program compares.
fn problem_sentence(problem: &Problem) -> String {
    let mut text = problem.to_string();
    if text.is_empty() {
        text = format!("the server responded with status {}", problem.status);
    }
    if !matches!(problem.status, 400 | 422) {
        return text;
    }
    // The sentence of a value that has a parser of its own says it already.
    let expected = problem.expected.as_deref().filter(|_| !text.contains("expected "));
    if let Some(expected) = expected {
        text.push_str(": expected ");
        text.push_str(expected);
    }
    if let Some(field) = problem.field.as_deref().filter(|field| !text.contains(field)) {
        let value = problem.value.as_deref().filter(|value| !text.contains(value));
        let value = value.map_or(String::new(), |value| format!(" {value:?}"));
        text = format!("{field}{value}: {text}");
    }
    text
}

const fn is_transient_status(status: u16) -> bool {
    matches!(status, 429 | 502..=504)
}

/// Returns the reason in words, and whether a later attempt can succeed.
fn connect_reason(error: &(dyn Error + 'static)) -> (String, bool) {
    if let Some(tls) = find::<rustls::Error>(error) {
        let reason = match tls {
            rustls::Error::InvalidCertificate(_) => {
                format!("{tls}; name the file of its certificate authority if it is a private one")
            }
            rustls::Error::InvalidMessage(_) => {
                format!("{tls}; is it a plain http:// server?")
            }
            _ => tls.to_string(),
        };
        return (reason, false);
    }
    let root = root_cause(error);
    let kind = find::<io::Error>(error).map(io::Error::kind);
    if kind == Some(io::ErrorKind::ConnectionRefused) {
        let reason = "connection refused; start the service, or correct the address and the port";
        return (reason.to_owned(), true);
    }
    // hyper-util has no type for it.
    if causes(error).any(|cause| cause.to_string().contains("dns error")) {
        return (format!("the name of the host is not known ({root})"), true);
    }
    (root.to_string(), true)
}

fn find<'a, T: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a T> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

fn root_cause<'a>(error: &'a (dyn Error + 'static)) -> &'a (dyn Error + 'static) {
    causes(error).last().unwrap_or(error)
}

fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| match error.downcast_ref::<io::Error>() {
        // The source of an io::Error is that of the error that it wraps.
        Some(io) if io.get_ref().is_some() => io.get_ref().map(|wrapped| wrapped as _),
        _ => error.source(),
    })
}
