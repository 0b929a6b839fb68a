use std::{error, fmt};

/// The error for a variable that is missing or has the wrong type. The message names it.
#[derive(Clone, Eq, PartialEq)]
pub struct InvalidVariables {
    message: String,
}

impl InvalidVariables {
    pub(super) const fn new(message: String) -> Self {
        Self { message }
    }
}

impl fmt::Display for InvalidVariables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

canary_core::debug_as_display!(InvalidVariables);

impl error::Error for InvalidVariables {}
