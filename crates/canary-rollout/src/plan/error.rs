use std::{error, fmt};

/// A text that is no [`Plan`](crate::Plan): what is wrong with it, and where.
///
/// It prints one line for each [fault](Self::faults), so that all of them can be mended at once.
///
/// ```
/// use canary_rollout::Plan;
///
/// let text = "[[steps]]\nweight = \"5%\"\n\n[[steps]]\nweight = \"1%\"\ngates = [\"boss\"]\n";
/// let error = Plan::from_toml(text).unwrap_err();
/// assert_eq!(
///     error.to_string(),
///     "line 5, column 1, steps[1].weight: 1% is not above the step before, 5%\n\
///      line 6, column 10, steps[1].gates[0]: the plan has no gate \"boss\"",
/// );
/// assert_eq!(error.faults()[0].line, 5);
/// ```
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PlanError {
    pub(crate) faults: Vec<PlanFault>,
}

impl PlanError {
    /// What is wrong, in the order of the text. There is one at least.
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

/// One thing that is wrong with a plan's text.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct PlanFault {
    /// The line, counted from 1; 0 if the plan was not read from a text.
    pub line: usize,
    /// The column, counted in characters from 1; 0 if the plan was not read from a text.
    pub column: usize,
    /// The field, such as `steps[1].weight`; empty, if the text as a whole is wrong.
    pub field: String,
    /// What is wrong with its value, and what was expected.
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
