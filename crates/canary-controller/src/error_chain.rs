use std::{error::Error, fmt::Write};

/// Formats an error and its sources on one line. Skips a source that its parent's message already
/// contains.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        let message = error.to_string();
        if !text.ends_with(&message) {
            let _ = write!(text, ": {message}");
        }
        source = error.source();
    }
    text
}
