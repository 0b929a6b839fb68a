use std::{error, fmt};

/// The requirements of a plan that this process does not meet, such as a function that is not
/// registered or a secret that is not set.
///
/// A controller checks them when a canary is added, not when a step needs them. The error prints one
/// line per [requirement](Self::requirements).
///
/// ```
/// use canary_controller::{Plan, probe::ProbeRunner};
///
/// let plan = Plan::from_toml(
///     r#"
///     steps = [{ weight = "1%", probes = ["books"] }]
///     probes.books.kind = { function = "balance" }
///     "#,
/// )?;
/// let probes = ProbeRunner::new().function("balances", async || Ok::<_, String>(()));
/// assert_eq!(
///     probes.check_plan(&plan).unwrap_err().to_string(),
///     r#"probes.books.kind.function: no function "balance" is registered, only "balances""#,
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct Unmet {
    requirements: Vec<Requirement>,
}

/// One requirement of a plan that is not met.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Requirement {
    /// The field of the plan, such as `gates.managers.kind.function`.
    pub field: String,
    /// The missing item.
    pub message: String,
}

impl Unmet {
    /// Combines the results of several checks.
    ///
    /// # Errors
    ///
    /// Returns the requirements of all checks that failed, if any.
    pub fn all(checks: impl IntoIterator<Item = Result<(), Self>>) -> Result<(), Self> {
        let unmet = checks.into_iter().filter_map(Result::err);
        Self::check(unmet.flat_map(|it| it.requirements).collect())
    }

    /// Returns the requirements that are not met. There is at least one.
    #[must_use]
    pub fn requirements(&self) -> &[Requirement] {
        &self.requirements
    }

    /// Returns an error unless `requirements` is empty.
    pub(crate) fn check(requirements: Vec<Requirement>) -> Result<(), Self> {
        if requirements.is_empty() { Ok(()) } else { Err(Self { requirements }) }
    }
}

impl Requirement {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// Creates the requirement of a function that is not `registered`.
    pub(crate) fn function<'a>(
        field: String,
        name: &str,
        registered: impl Iterator<Item = &'a String>,
    ) -> Self {
        let registered: Vec<String> = registered.map(|name| format!("{name:?}")).collect();
        let only = match registered.join(", ") {
            none if none.is_empty() => String::new(),
            some => format!(", only {some}"),
        };
        Self::new(field, format!("no function {name:?} is registered{only}"))
    }
}

impl fmt::Display for Unmet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, requirement) in self.requirements.iter().enumerate() {
            write!(f, "{}{requirement}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Requirement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl error::Error for Unmet {}

canary_core::debug_as_display!(Unmet);
