use std::fmt;

/// Takes a value or a valid text for one.
///
/// # Panics
///
/// With the message of the error, if the text is not valid.
pub(crate) fn valid<T>(value: impl TryInto<T, Error: fmt::Display>) -> T {
    value.try_into().unwrap_or_else(|error| panic!("{error}"))
}
