use std::{error::Error, fmt};

/// Formats an error and its causes on one line.
pub(crate) fn with_causes(error: &(dyn Error + 'static)) -> String {
    WithCauses(error).to_string()
}

struct WithCauses<'a>(&'a (dyn Error + 'static));

impl fmt::Display for WithCauses<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        canary_core::fmt_with_causes(self.0, f)
    }
}
