use std::{error, fmt};

/// The faults of a plan file, with their positions.
///
/// It prints one line for each [fault](Self::faults).
///
/// ```
/// use canary_rollout::Plan;
///
/// let text = "[[steps]]\nweight = \"5%\"\n\n[[steps]]\nweight = \"1%\"\ngates = [\"boss\"]\n";
/// let error = Plan::from_toml(text).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "line 5, column 1, steps[1].weight: 1% is not above the previous step's 5%\n\
///      line 6, column 10, steps[1].gates[0]: the plan has no gate \"boss\"",
/// );
/// assert_eq!(error.faults()[0].line, 5);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanError {
    pub(crate) faults: Vec<PlanFault>,
}

impl PlanError {
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
