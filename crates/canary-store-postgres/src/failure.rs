//! Classifies the errors of the engine.

use std::{error::Error as _, io};

use canary_controller::store::StoreError;
use tokio_postgres::{
    Error,
    error::{DbError, Severity, SqlState},
};

use crate::{
    call::{Access, Call},
    roots,
};

/// An error of one server, or of all servers, with their names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Failure {
    pub(crate) text: String,
    pub(crate) reaction: Reaction,
}

#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum Reaction {
    /// An operator must act.
    Refused,
    /// Nothing was changed.
    Unavailable,
    /// The statement may have been executed.
    Unknown,
}

impl Failure {
    pub(crate) fn unavailable(text: impl Into<String>) -> Self {
        Self { text: text.into(), reaction: Reaction::Unavailable }
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self { text: text.into(), reaction: Reaction::Refused }
    }

    /// Classifies an error during the connection, when no statement was sent.
    pub(crate) fn of_connection(server: &str, error: &Error) -> Self {
        let reaction = match error.as_db_error() {
            Some(error) => code_reaction(error.code()),
            None if is_permanent(error) => Reaction::Refused,
            None => Reaction::Unavailable,
        };
        Self { text: format!("{server}: {}", describe(error)), reaction }
    }

    /// Classifies an error of a statement that was sent.
    pub(crate) fn of_statement(server: &str, error: &Error) -> Self {
        let reaction = match error.as_db_error() {
            Some(error) if is_definite(error) => code_reaction(error.code()),
            _ => Reaction::Unknown,
        };
        Self { text: format!("{server}: {}", describe(error)), reaction }
    }

    pub(crate) fn of_call(self, call: &Call) -> StoreError {
        let operation = &*call.operation;
        match (self.reaction, call.access) {
            (Reaction::Refused, _) => StoreError::refused(operation, self.text),
            (Reaction::Unknown, Access::Write) => StoreError::unknown(operation, self.text),
            (Reaction::Unavailable | Reaction::Unknown, _) => {
                StoreError::unavailable(operation, self.text)
            }
        }
    }
}

/// Returns whether an error means that the transaction of the statement was aborted.
///
/// An error that ends the connection may have been sent between the commit and its confirmation. So
/// may a cancellation, which the server notices at the next opportunity, whatever it does then.
fn is_definite(error: &DbError) -> bool {
    error.parsed_severity() == Some(Severity::Error) && *error.code() != SqlState::QUERY_CANCELED
}

/// Returns whether the statement may be repeated: it was aborted in favor of another transaction.
pub(crate) fn is_rivalry(error: &Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::T_R_SERIALIZATION_FAILURE)
        || code == Some(&SqlState::T_R_DEADLOCK_DETECTED)
}

/// Returns whether a table, a sequence or the schema is missing.
pub(crate) fn is_missing_table(error: &Error) -> bool {
    let code = error.code();
    code == Some(&SqlState::UNDEFINED_TABLE) || code == Some(&SqlState::INVALID_SCHEMA_NAME)
}

/// Returns whether the connection has ended, so that a read may be repeated on another one.
pub(crate) fn is_disconnected(error: &Error) -> bool {
    error.as_db_error().is_none_or(|error| error.parsed_severity() != Some(Severity::Error))
}

/// Returns whether a pooler refuses the settings in the startup message.
pub(crate) fn is_refused_setting(error: &Error) -> bool {
    error.as_db_error().is_some_and(|error| {
        *error.code() == SqlState::PROTOCOL_VIOLATION
            && error.message().contains("unsupported startup parameter")
    })
}

fn code_reaction(code: &SqlState) -> Reaction {
    // Class 25 has `read_only_sql_transaction`: a failover may be under way.
    match code.code().get(..2).unwrap_or_default() {
        // Wrong data, constraints, credentials, names, rights and limits, and missing features.
        "0A" | "22" | "23" | "28" | "3D" | "3F" | "42" | "54" => Reaction::Refused,
        _ => Reaction::Unavailable,
    }
}

/// Returns whether an error before authentication needs an operator.
fn is_permanent(error: &Error) -> bool {
    let Some(source) = error.source() else { return false };
    match source.downcast_ref::<io::Error>() {
        Some(error) => {
            let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
            inner.is_some_and(roots::is_permanent)
        }
        // A server without TLS, a missing password, or an unknown method of authentication. An
        // interrupted handshake has an I/O error.
        None => true,
    }
}

/// Prints an error with its causes. Errors of the server have no detail, which may contain a document.
fn describe(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        let mut text =
            format!("{}: {} ({})", error.severity(), error.message(), error.code().code());
        if let Some(hint) = error.hint() {
            text += &format!("; {hint}");
        }
        return text;
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    if text.contains("server does not support TLS") {
        text += "; in a trusted network, sslmode=disable allows this";
    }
    if text.contains("database does not allow writes") {
        text += "; expected the primary server, and no default_transaction_read_only";
    }
    text
}
