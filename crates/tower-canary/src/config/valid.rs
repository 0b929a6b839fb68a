use std::fmt;

/// Converts a value, such as a string, into a `T`.
///
/// # Panics
///
/// Panics with the error message if the value is invalid.
pub(crate) fn valid<T>(value: impl TryInto<T, Error: fmt::Display>) -> T {
    value.try_into().unwrap_or_else(|error| panic!("{error}"))
}
