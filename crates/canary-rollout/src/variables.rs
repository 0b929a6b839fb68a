//! The variables that commands have set.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{
    command::RefusalReason,
    text::{NAME_BYTES, bounded, changes_layout},
};

/// Changes of variables by name: each is set to a value or removed.
///
/// The JSON form is a merge patch (RFC 7396): `{"backend": "http://10.0.0.2", "limit": null}` sets
/// `backend` and removes `limit`. A variable cannot have the value `null`. `Debug` prints only the
/// names, because values can be secret.
///
/// ```
/// use canary_rollout::variables::VariablePatch;
///
/// let patch = VariablePatch::new().set("backend", "http://10.0.0.2").remove("limit");
/// assert_eq!(
///     serde_json::to_string(&patch)?,
///     r#"{"backend":"http://10.0.0.2","limit":null}"#,
/// );
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(transparent)]
pub struct VariablePatch(BTreeMap<String, Option<Value>>);

/// Changes of the variables of the stage, and of the canary's overrides.
///
/// The stage, such as production, has variables, and the canary overrides some of them. Code names
/// the initial values; a rollout stores what [commands](crate::Command::SetVariables) have changed
/// since. A variable that no command has changed has the value of the code.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct VariablePatches {
    /// The changes of the stage. Without an override, the canary sees them too.
    #[serde(default, skip_serializing_if = "VariablePatch::is_empty")]
    pub stage: VariablePatch,
    /// The changes of the canary's overrides.
    #[serde(default, skip_serializing_if = "VariablePatch::is_empty")]
    pub overrides: VariablePatch,
}

impl VariablePatch {
    /// Creates a patch that changes nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a variable. The value `null` removes it.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        let value = value.into();
        self.0.insert(name.into(), (!value.is_null()).then_some(value));
        self
    }

    /// Removes a variable. If it is an override, the canary sees the value of the stage again.
    #[must_use]
    pub fn remove(mut self, name: impl Into<String>) -> Self {
        self.0.insert(name.into(), None);
        self
    }

    /// Iterates over the names and values, ordered by name. A removed variable has no value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&Value>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_ref()))
    }

    /// Returns whether the patch changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn extend(&mut self, later: &Self) {
        self.0.extend(later.0.iter().map(|(name, value)| (name.clone(), value.clone())));
    }

    /// Returns the first name that is not a variable's name.
    fn invalid_name(&self) -> Option<&String> {
        let is_valid = |name: &str| {
            (1..=NAME_BYTES).contains(&name.len()) && !name.chars().any(changes_layout)
        };
        self.0.keys().find(|name| !is_valid(name))
    }
}

impl VariablePatches {
    /// The maximum size of all changes of a rollout as JSON, in bytes. They are a part of the
    /// document of at most 16 KiB that replicas share.
    pub const MAX_BYTES: usize = 2 * 1024;

    /// Creates changes of the stage.
    #[must_use]
    pub fn of_stage(stage: VariablePatch) -> Self {
        Self { stage, ..Self::default() }
    }

    /// Creates changes of the canary's overrides.
    #[must_use]
    pub fn of_overrides(overrides: VariablePatch) -> Self {
        Self { overrides, ..Self::default() }
    }

    /// Returns whether the patches change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stage.is_empty() && self.overrides.is_empty()
    }

    /// Returns these patches with `later` applied on top, or the reason why they cannot be stored.
    pub(crate) fn patched(&self, later: &Self) -> Result<Self, RefusalReason> {
        let invalid = later.stage.invalid_name().or_else(|| later.overrides.invalid_name());
        if let Some(name) = invalid {
            return Err(RefusalReason::VariableName { name: bounded(name, NAME_BYTES) });
        }
        let mut patched = self.clone();
        patched.stage.extend(&later.stage);
        patched.overrides.extend(&later.overrides);
        let bytes = serde_json::to_string(&patched).map_or(usize::MAX, |text| text.len());
        if bytes > Self::MAX_BYTES {
            return Err(RefusalReason::VariablesTooLarge { bytes, maximum: Self::MAX_BYTES });
        }
        Ok(patched)
    }

    /// Returns the patches after a promotion: the canary's values are those of the stage.
    pub(crate) fn promoted(&self) -> Self {
        let mut stage = self.stage.clone();
        // Removing an override leaves the value of the stage.
        let set = self.overrides.0.iter().filter(|(_, value)| value.is_some());
        stage.0.extend(set.map(|(name, value)| (name.clone(), value.clone())));
        Self::of_stage(stage)
    }

    /// Removes the overrides of the variables that `stage` names.
    pub(crate) fn without_overrides_of(mut self, stage: &VariablePatch) -> Self {
        self.overrides.0.extend(stage.0.keys().map(|name| (name.clone(), None)));
        self
    }
}

impl fmt::Debug for VariablePatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
