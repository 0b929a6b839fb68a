use std::collections::BTreeSet;

use canary_rollout::{
    Action,
    variables::{VariablePatch, VariablePatches},
};
use tower_canary::{CanaryHandle, InvalidVariables, SplitMode, Variables, control::ControlExt};

/// Applies the variables of a rollout to the data plane.
pub(crate) struct VariableControl {
    /// The variables of the code.
    stage: Variables,
    overrides: Variables,
    /// The variables that the rollout has changed. Other variables belong to the application.
    changed: Names,
}

#[derive(Clone, Default)]
struct Names {
    stage: BTreeSet<String>,
    overrides: BTreeSet<String>,
}

impl VariableControl {
    /// Creates the control of a canary that still has the variables of the code.
    pub(crate) fn new(canary: &CanaryHandle) -> Self {
        let (stage, overrides) = (canary.stage_variables(), canary.overrides());
        Self { stage, overrides, changed: Names::default() }
    }

    /// Gives the variables that `patches` name their values, and gives the variables that an earlier
    /// patch has named the values of the code.
    pub(super) fn apply(
        &mut self,
        canary: &CanaryHandle,
        patches: &VariablePatches,
    ) -> Result<(), InvalidVariables> {
        let mode = canary.mode();
        canary.change_variables(|stage, overrides| self.patch(&mode, patches, stage, overrides))?;
        self.changed = Names::of(patches);
        Ok(())
    }

    /// Checks the variables that `actions` set, without setting them.
    pub(super) fn check(
        &self,
        canary: &CanaryHandle,
        actions: &[Action],
    ) -> Result<(), InvalidVariables> {
        let mode = canary.mode();
        for action in actions {
            if let Action::SetVariables(patches) = action {
                canary.check_variables(|stage, overrides| {
                    self.patch(&mode, patches, stage, overrides);
                })?;
            }
        }
        Ok(())
    }

    fn patch(
        &self,
        mode: &SplitMode,
        patches: &VariablePatches,
        stage: &mut Variables,
        overrides: &mut Variables,
    ) {
        let new = Names::of(patches);
        if *mode != SplitMode::Promoted {
            for name in self.changed.stage.union(&new.stage) {
                set(stage, name, value(&patches.stage, &self.stage, name));
            }
            for name in self.changed.overrides.union(&new.overrides) {
                set(overrides, name, value(&patches.overrides, &self.overrides, name));
            }
            return;
        }
        // The data plane has merged the overrides into the stage.
        let named = [&self.changed.stage, &self.changed.overrides, &new.stage, &new.overrides];
        for name in named.into_iter().flatten() {
            let of_canary = value(&patches.overrides, &self.overrides, name);
            let of_stage = || value(&patches.stage, &self.stage, name);
            set(stage, name, of_canary.or_else(of_stage));
        }
    }
}

impl Names {
    fn of(patches: &VariablePatches) -> Self {
        let names = |patch: &VariablePatch| patch.iter().map(|(name, _)| name.to_owned()).collect();
        Self { stage: names(&patches.stage), overrides: names(&patches.overrides) }
    }
}

/// Returns the value of a variable: that of the patch if the patch names it, or else that of the
/// code.
fn value(patch: &VariablePatch, of_code: &Variables, name: &str) -> Option<serde_json::Value> {
    match patch.iter().find(|(patched, _)| *patched == name) {
        Some((_, value)) => value.cloned(),
        None => of_code.get(name).cloned(),
    }
}

fn set(variables: &mut Variables, name: &str, value: Option<serde_json::Value>) {
    match value {
        Some(value) => variables.set(name, value),
        None => variables.remove(name),
    }
}
