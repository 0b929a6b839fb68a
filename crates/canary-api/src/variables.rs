use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Variables by name.
pub type VariableMap = BTreeMap<String, Value>;

/// The variables of the stage, and those that the canary overrides. Only operators see them.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VariablesView {
    /// The variables of the stage.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub stage: VariableMap,
    /// The variables that the canary overrides.
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub overrides: VariableMap,
}

/// A change of variables: a merge patch (RFC 7396) for each map. `null` removes a variable.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(deny_unknown_fields)]
pub struct VariablesRequest {
    /// The changes of the stage.
    #[serde(default, skip_serializing_if = "VariableMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub stage: VariableMap,
    /// The changes of the canary's overrides. Removing one shows the canary the stage's value again.
    #[serde(default, skip_serializing_if = "VariableMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub overrides: VariableMap,
    /// The reason, for the history.
    #[serde(default)]
    pub reason: String,
}
