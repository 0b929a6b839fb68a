use serde::{Deserialize, Serialize};

/// Who the caller is, and what it sees.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Session {
    /// The caller.
    pub operator: Operator,
    /// The environment, if the application has named it.
    pub environment: Option<Environment>,
    /// The version of the server.
    pub version: String,
}

/// A caller of the API.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Operator {
    /// The name, which events record as their cause.
    pub name: String,
    /// The role.
    pub role: Role,
    /// The gates that the caller may answer; `None` if it may answer all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<Vec<String>>,
}

impl Operator {
    /// Creates a caller who may answer all gates, if the role may.
    pub fn new(name: impl Into<String>, role: Role) -> Self {
        Self { name: name.into(), role, gates: None }
    }

    /// Limits the answers to these gates.
    #[must_use]
    pub fn gates(mut self, gates: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.gates = Some(gates.into_iter().map(Into::into).collect());
        self
    }
}

/// What a caller may do. Each role includes the ones before it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "a new role would change what the others mean")]
pub enum Role {
    /// Sees everything but the values of variables.
    View,
    /// Also approves and rejects gates.
    Approve,
    /// Also gives commands, changes the plan, and sees and changes variables.
    Operate,
}

impl Role {
    /// Returns the name, such as "operate".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Approve => "approve",
            Self::Operate => "operate",
        }
    }
}

/// The environment of the canaries, such as production.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[non_exhaustive]
pub struct Environment {
    /// The name, such as `prod`.
    pub name: String,
    /// The color of its label, as `#rrggbb`.
    pub color: String,
}

impl Environment {
    /// Creates an environment.
    pub fn new(name: impl Into<String>, color: impl Into<String>) -> Self {
        Self { name: name.into(), color: color.into() }
    }
}
