//! Executes the actions of a rollout.

use canary_core::Weight;
use canary_rollout::{
    Action, Phase, Plan, Rollout, State, plan::OnDegraded, state::PauseReason,
    variables::VariablePatches,
};
use tower_canary::{CanaryHandle, Halted, SplitMode, control::ControlExt};

use crate::{
    driver::{
        attempt_judge::AttemptJudge,
        run::{Driver, TARGET},
    },
    notify::Notification,
    weight_lock::OnTrip,
};

impl Driver {
    /// Makes `rollout` the rollout in force. Its actions set the weight, before or after this.
    pub(super) fn set_rollout(&mut self, rollout: Rollout) {
        if *self.rollout.plan() != *rollout.plan() {
            self.register_receivers(rollout.plan());
        }
        let (before, after) = (&self.rollout, &rollout);
        if before.attempt() != after.attempt() || before.state().stage() != after.state().stage() {
            self.tasks.cancel();
        }
        self.rollout = rollout;
        self.weight_lock.set_on_trip(on_trip(&self.rollout), self.rollout.attempt());
        if self.rollout.weight() == Weight::ZERO {
            self.weight_lock.acknowledge();
        }
    }

    /// Registers the notification receivers of a plan.
    pub(super) fn register_receivers(&self, plan: &Plan) {
        let name = self.canary.name();
        if let Err(unmet) = self.effects.notifier.register(name, plan) {
            tracing::error!(
                target: TARGET, canary = %name,
                "some receivers will get no notifications: {unmet}",
            );
        }
    }

    /// Executes actions in order.
    pub(super) fn perform(&mut self, actions: &[Action]) {
        for action in actions {
            self.perform_one(action);
        }
    }

    fn perform_one(&mut self, action: &Action) {
        let canary = self.canary.clone();
        match action {
            Action::SetWeight(weight) => self.set_weight(*weight),
            Action::Promote => self.raise(Weight::FULL, |driver| match driver.canary.mode() {
                SplitMode::Promoted => Ok(()),
                _ => driver.owner.promote(),
            }),
            Action::RollBack => {
                if canary.weight() != Weight::ZERO {
                    canary.roll_back();
                }
                self.applied_weight = Weight::ZERO;
            }
            Action::Halt(new) => {
                if !matches!(canary.mode(), SplitMode::Halted { reason } if reason == *new) {
                    canary.halt(new);
                }
                self.applied_weight = Weight::ZERO;
            }
            Action::LiftHalt => {
                if matches!(canary.mode(), SplitMode::Halted { .. }) {
                    self.raise(Weight::ZERO, |driver| {
                        driver.canary.lift_halt();
                        Ok(())
                    });
                }
            }
            Action::BeginEvidence { salt } => {
                self.set_sticky_secret(&self.rollout);
                canary.set_salt(salt);
                let (attempt, plan) = (self.rollout.attempt(), self.rollout.plan());
                self.judge = AttemptJudge::new(attempt, plan, &canary, &self.weight_lock);
                self.tasks.probe_results.clear();
            }
            Action::BeginStep => self.judge.begin_step(),
            Action::SetVariables(patches) => self.set_variables(patches),
            Action::RunProbe(name) => self.tasks.run_probe(&self.rollout, name.clone()),
            Action::AskGate(name) => {
                self.tasks.ask_gate(&self.rollout, name.clone(), self.clock.now());
            }
            Action::Notify { to, event } => {
                self.effects.notifier.notify(to, Notification::new(&self.rollout, event.clone()));
            }
            other => {
                let name = canary.name();
                tracing::error!(target: TARGET, canary = %name, "unsupported action {other:?}");
            }
        }
    }

    fn set_variables(&mut self, patches: &VariablePatches) {
        if let Err(error) = self.variables.apply(&self.canary, patches) {
            let name = self.canary.name();
            tracing::error!(
                target: TARGET, canary = %name,
                "the stored variables do not fit this build and are ignored: {error}",
            );
        }
    }

    /// Assigns sticky keys as the rollout does.
    pub(super) fn set_salt(&self, rollout: &Rollout) {
        self.set_sticky_secret(rollout);
        self.canary.set_salt(&rollout.salt());
    }

    fn set_sticky_secret(&self, rollout: &Rollout) {
        if let Some(secret) = rollout.sticky_secret() {
            self.canary.set_sticky_secret(secret);
        }
    }

    fn set_weight(&mut self, weight: Weight) {
        let set = |canary: &CanaryHandle| {
            let is_set = canary.weight() == weight && canary.mode() == SplitMode::Splitting;
            if is_set { Ok(()) } else { canary.set_weight(weight) }
        };
        if weight > self.canary.weight() {
            self.raise(weight, |driver| set(&driver.canary));
        } else {
            let was_promoted = self.canary.mode() == SplitMode::Promoted;
            self.applied_weight = weight;
            self.warn_if_halted(set(&self.canary));
            if was_promoted {
                // The data plane has gone back to the variables from before the promotion.
                self.set_variables(&self.rollout.variables());
            }
        }
    }

    /// Runs `raise`, which raises the weight, unless the canary has been rolled back or its weight
    /// has been lowered directly. The next tick records that in the rollout.
    fn raise(&mut self, weight: Weight, raise: impl FnOnce(&Self) -> Result<(), Halted>) {
        if self.canary.weight() < self.applied_weight {
            return;
        }
        let mut result = None;
        self.weight_lock.raise_unless_blocked(|| result = Some(raise(self)));
        match result {
            Some(Ok(())) => self.applied_weight = weight,
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

/// Returns whether verdicts have consequences in this phase.
pub(super) const fn is_judged(phase: Phase) -> bool {
    matches!(phase, Phase::Starting | Phase::Running | Phase::Paused | Phase::Baking)
}

/// Returns the reaction of a rollout to a trip of the guard.
fn on_trip(rollout: &Rollout) -> OnTrip {
    if !is_judged(rollout.phase()) || is_frozen(rollout.state()) {
        return OnTrip::Ignore;
    }
    match rollout.plan().on_degraded() {
        OnDegraded::RollBack => OnTrip::RollBack,
        // The judge reports it on the next tick.
        OnDegraded::Report => OnTrip::Ignore,
        _ => OnTrip::Notify,
    }
}

const fn is_frozen(state: &State) -> bool {
    matches!(state, State::Paused { reason: PauseReason::Degraded(_), .. })
}
