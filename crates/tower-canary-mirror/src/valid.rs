use std::fmt;

/// Converts `value` and panics with the error's message if it is invalid.
pub(crate) fn valid<T>(value: impl TryInto<T, Error: fmt::Display>) -> T {
    value.try_into().unwrap_or_else(|error| panic!("{error}"))
}
