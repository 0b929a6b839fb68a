use std::{error, fmt};

/// What a plan needs and this process has not: a function, a secret, the canary to probe, a
/// class of routes that is counted.
///
/// It is found when a canary is registered, and not at the step that needs it. It prints one line for
/// each [need](Self::needs), so that all of them can be met at once.
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
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Unmet {
    needs: Vec<Need>,
}

/// One thing that a plan needs.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Need {
    /// The field of the plan, such as `gates.managers.kind.function`.
    pub field: String,
    /// What is missing.
    pub message: String,
}

impl Unmet {
    /// All that several parts of the process lack.
    ///
    /// # Errors
    ///
    /// If one of them lacks something.
    pub fn all(parts: impl IntoIterator<Item = Result<(), Self>>) -> Result<(), Self> {
        Self::check(parts.into_iter().filter_map(Result::err).flat_map(|it| it.needs).collect())
    }

    /// What is missing. There is one thing at least.
    #[must_use]
    pub fn needs(&self) -> &[Need] {
        &self.needs
    }

    pub(crate) fn check(needs: Vec<Need>) -> Result<(), Self> {
        if needs.is_empty() { Ok(()) } else { Err(Self { needs }) }
    }
}

impl Need {
    pub(crate) fn new(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { field: field.into(), message: message.into() }
    }

    /// A function that the plan names and that is not among those registered.
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
        for (index, need) in self.needs.iter().enumerate() {
            write!(f, "{}{need}", if index == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.field, self.message)
    }
}

impl error::Error for Unmet {}
