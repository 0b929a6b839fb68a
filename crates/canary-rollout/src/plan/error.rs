use std::{error, fmt};

use super::{redact::without_paths, wording::reworded};
use crate::text::bounded;

/// The faults of a plan file, with their positions.
///
/// It prints one line for each [fault](Self::faults). Messages cut long texts, and show URLs without
/// path and query, and nothing of a misplaced secret.
///
/// ```
/// use canary_rollout::Plan;
///
/// let text = "[[steps]]\nweight = \"5%\"\n\n[[steps]]\nweight = \"1%\"\ngates = [\"boss\"]\n";
/// let error = Plan::from_toml(text).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "line 5, column 1, steps[1].weight: 1% is below the previous step's 5%\n\
///      line 6, column 10, steps[1].gates[0]: the plan has no gate \"boss\"",
/// );
/// assert_eq!(error.faults()[0].line, 5);
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct PlanError {
    pub(crate) faults: Vec<PlanFault>,
}

impl PlanError {
    /// The maximum number of faults. A plan with more has others when these are repaired.
    pub const MAX_FAULTS: usize = 32;

    /// Returns the faults in the order of the text; at least one.
    #[must_use]
    pub fn faults(&self) -> &[PlanFault] {
        &self.faults
    }
}

impl fmt::Display for PlanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.faults.iter().enumerate() {
            write!(f, "{}{fault}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl error::Error for PlanError {}

canary_core::debug_as_display!(PlanError);

/// A fault of a plan file.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PlanFault {
    /// The line, from 1; 0 if the plan was not read from a text.
    pub line: usize,
    /// The column in characters, from 1; 0 if the plan was not read from a text.
    pub column: usize,
    /// The field, such as `steps[1].weight`; empty if the fault concerns the whole text.
    pub field: String,
    /// The message: the value found, and the expectation.
    pub message: String,
}

impl PlanFault {
    pub(crate) fn new((line, column): (usize, usize), field: &str, message: &str) -> Self {
        let message = without_paths(&reworded(&without_secret(field, message)));
        let (field, message) = (bounded(field, MAX_BYTES), bounded(&message, MAX_BYTES));
        Self { line, column, field, message }
    }
}

/// Removes the value from a message of serde about a webhook or a secret, such as
/// `invalid type: string "x", expected a map`.
fn without_secret(field: &str, message: &str) -> String {
    let is_secret =
        field.starts_with("notify") || ["webhook", "secret"].iter().any(|it| field.contains(it));
    let value = ["invalid type: ", "invalid value: "].iter().find(|it| message.starts_with(**it));
    match (value, message.rfind(", expected ")) {
        (Some(start), Some(end)) if is_secret && end > start.len() => {
            let kind = message[start.len()..end].split([' ', '`', '"']).next().unwrap_or_default();
            format!("{start}{kind}{}", &message[end..])
        }
        _ => message.to_owned(),
    }
}

/// The maximum length of a field and of a message.
const MAX_BYTES: usize = 256;

impl fmt::Display for PlanFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "line {}, column {}, ", self.line, self.column)?;
        }
        if !self.field.is_empty() {
            write!(f, "{}: ", self.field)?;
        }
        f.write_str(&self.message)
    }
}
