use std::sync::Arc;

use canary_core::Weight;
use canary_rollout::{Action, Order, Rollout, replica, variables::VariablePatches};
use tower_canary::{
    CanaryHandle, Halted, InvalidVariables, SplitMode,
    control::{ControlExt, Owner},
};

use crate::{
    driver::{TARGET, variables::VariableControl},
    weight_lock::WeightLock,
};

/// The canary in this process, as the driver sets it.
pub(super) struct DataPlane {
    pub(super) canary: CanaryHandle,
    /// The claim on the canary. Only the driver can promote it.
    owner: Owner,
    pub(super) weight_lock: Arc<WeightLock>,
    /// The weight that the driver has last set.
    applied: Weight,
    variables: VariableControl,
    /// The variables that the driver has last set.
    patches: VariablePatches,
}

impl DataPlane {
    pub(super) fn new(canary: CanaryHandle, weight_lock: Arc<WeightLock>) -> Self {
        let owner = canary.claim("use `RolloutHandle::promote`");
        let variables = VariableControl::new(&canary);
        let patches = VariablePatches::default();
        Self { canary, owner, weight_lock, applied: Weight::ZERO, variables, patches }
    }

    /// Assigns sticky keys as the rollout does.
    pub(super) fn set_salt(&self, rollout: &Rollout) {
        if let Some(secret) = rollout.sticky_secret() {
            self.canary.set_sticky_secret(secret);
        }
        self.canary.set_salt(&rollout.salt());
    }

    /// Checks the variables that a command would set.
    pub(super) fn check_variables(
        &self,
        rollout: &Rollout,
        now: canary_rollout::Timestamp,
        order: &Order,
    ) -> Result<(), InvalidVariables> {
        match rollout.clone().command(now, order) {
            Ok(transition) => self.variables.check(&self.canary, &transition.actions),
            // The state machine refuses the command.
            Err(_) => Ok(()),
        }
    }

    /// Returns the weight and the mode, or `None` while a rollback that the rollout does not know
    /// blocks raises.
    pub(super) fn observe(&self) -> Option<replica::DataPlane> {
        if self.weight_lock.is_blocked() {
            return None;
        }
        let mode = match self.canary.mode() {
            SplitMode::Halted { reason } => replica::Mode::Halted { reason },
            SplitMode::Promoted => replica::Mode::Promoted,
            _ => replica::Mode::Splitting,
        };
        Some(replica::DataPlane { weight: self.canary.weight(), applied: self.applied, mode })
    }

    /// Carries out an action that changes the weight or the mode. Returns whether it is one.
    pub(super) fn perform(&mut self, action: &Action) -> bool {
        match action {
            Action::SetWeight(weight) => self.set_weight(*weight),
            Action::Promote => {
                self.raise(Weight::FULL, |plane| match plane.canary.mode() {
                    SplitMode::Promoted => Ok(()),
                    _ => plane.owner.promote(),
                });
            }
            Action::RollBack => {
                if self.canary.weight() != Weight::ZERO {
                    self.canary.roll_back();
                }
                self.applied = Weight::ZERO;
            }
            Action::Halt(new) => {
                if !matches!(self.canary.mode(), SplitMode::Halted { reason } if reason == *new) {
                    self.canary.halt(new);
                }
                self.applied = Weight::ZERO;
            }
            Action::LiftHalt => {
                if matches!(self.canary.mode(), SplitMode::Halted { .. }) {
                    self.raise(Weight::ZERO, |plane| {
                        plane.canary.lift_halt();
                        Ok(())
                    });
                }
            }
            Action::SetVariables(patches) => {
                self.patches.clone_from(patches);
                self.set_variables();
            }
            _ => return false,
        }
        true
    }

    fn set_weight(&mut self, weight: Weight) {
        let set = |canary: &CanaryHandle| {
            let is_set = canary.weight() == weight && canary.mode() == SplitMode::Splitting;
            if is_set { Ok(()) } else { canary.set_weight(weight) }
        };
        if weight > self.canary.weight() {
            self.raise(weight, |plane| set(&plane.canary));
        } else {
            let was_promoted = self.canary.mode() == SplitMode::Promoted;
            self.applied = weight;
            self.warn_if_halted(set(&self.canary));
            if was_promoted {
                // The data plane has gone back to the variables from before the promotion.
                self.set_variables();
            }
        }
    }

    fn set_variables(&mut self) {
        if let Err(error) = self.variables.apply(&self.canary, &self.patches) {
            tracing::error!(
                target: TARGET, canary = %self.canary.name(),
                "the stored variables do not fit this build and are ignored: {error}",
            );
        }
    }

    /// Runs `raise`, which raises the weight, unless the canary has been rolled back or its weight
    /// has been lowered directly. The next tick records that in the rollout.
    fn raise(&mut self, weight: Weight, raise: impl FnOnce(&Self) -> Result<(), Halted>) {
        if self.canary.weight() < self.applied {
            return;
        }
        let mut result = None;
        self.weight_lock.raise_unless_blocked(|| result = Some(raise(self)));
        match result {
            Some(Ok(())) => self.applied = weight,
            Some(refused) => self.warn_if_halted(refused),
            None => {}
        }
    }

    fn warn_if_halted(&self, result: Result<(), Halted>) {
        if let Err(halted) = result {
            tracing::warn!(target: TARGET, canary = %self.canary.name(), "{halted}");
        }
    }
}
