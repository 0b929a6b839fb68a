use std::{error::Error, fmt};

/// Implements `Debug` for errors as their `Display` form, followed by their causes: `main` prints the
/// error that it returns with `Debug`.
///
/// ```
/// use std::{error::Error, fmt, io};
///
/// struct Unreadable(io::Error);
///
/// impl fmt::Display for Unreadable {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("the plan could not be read")
///     }
/// }
///
/// impl Error for Unreadable {
///     fn source(&self) -> Option<&(dyn Error + 'static)> {
///         Some(&self.0)
///     }
/// }
///
/// canary_core::debug_as_display!(Unreadable);
///
/// let error = Unreadable(io::Error::other("disk full"));
/// assert_eq!(format!("{error:?}"), "the plan could not be read: disk full");
/// ```
#[macro_export]
macro_rules! debug_as_display {
    ($($error:ty),+ $(,)?) => {$(
        impl ::std::fmt::Debug for $error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                $crate::fmt_with_causes(self, f)
            }
        }
    )+};
}

/// Formats an error and its causes on one line, without a cause that the text before ends with.
///
/// # Errors
///
/// Returns the errors of the formatter.
pub fn fmt_with_causes(error: &dyn Error, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let message = error.to_string();
        if !text.ends_with(&message) {
            text = format!("{text}: {message}");
        }
        cause = error.source();
    }
    f.write_str(&text)
}
