use super::{Rollout, change::Change};
use crate::{
    action::Action, actor::Actor, command::RefusalReason, event::EventKind, state::phase::Phase,
    variables::VariablePatches,
};

impl Rollout {
    /// Returns the changes of variables that are in force. After a promotion, they are changes of
    /// the stage.
    ///
    /// ```
    /// use canary_rollout::{
    ///     Actor, Command, Order, Releases, Rollout, Timestamp,
    ///     plan::Preset,
    ///     variables::{VariablePatch, VariablePatches},
    /// };
    ///
    /// let now: Timestamp = "2026-11-24T09:00:00Z".parse()?;
    /// let releases = Releases { stable: "v1".parse()?, canary: "v2".parse()? };
    /// let mut rollout = Rollout::new("shop".parse()?, releases, Preset::all()[0].plan());
    /// let order = |command| Order::new(command, Actor::person("anna"), "");
    ///
    /// let backend = VariablePatch::new().set("backend", "http://10.0.0.2");
    /// let set = Command::SetVariables(VariablePatches::of_overrides(backend.clone()));
    /// rollout.command(now, &order(set))?;
    /// rollout.command(now, &order(Command::Start))?;
    /// assert_eq!(rollout.variables().overrides, backend);
    ///
    /// rollout.command(now, &order(Command::PromoteFully))?;
    /// assert_eq!(rollout.variables(), VariablePatches::of_stage(backend));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn variables(&self) -> VariablePatches {
        match self.phase() {
            Phase::Promoted => self.variables.promoted(),
            _ => self.variables.clone(),
        }
    }

    /// Returns the changes of variables after a command, or the reason to refuse it.
    pub(super) fn variables_after(
        &self,
        patches: &VariablePatches,
    ) -> Result<VariablePatches, RefusalReason> {
        if self.phase() != Phase::Promoted {
            return self.variables.patched(patches);
        }
        if !patches.overrides.is_empty() {
            return Err(RefusalReason::NoOverridesAfterPromotion);
        }
        // The override of the same name would hide the new value.
        self.variables.patched(&patches.clone().without_overrides_of(&patches.stage))
    }

    pub(super) fn variables_action(&self) -> Action {
        Action::SetVariables(self.variables.clone())
    }
}

impl Change<'_> {
    pub(super) fn set_variables(&mut self, patches: &VariablePatches, by: &Actor, reason: &str) {
        let Ok(after) = self.rollout.variables_after(patches) else { return };
        self.rollout.variables = after;
        let action = self.rollout.variables_action();
        self.raise(action);
        let (stage, overrides) = (patches.stage.names(), patches.overrides.names());
        self.record(by.clone(), EventKind::VariablesSet { stage, overrides }, reason);
    }
}
