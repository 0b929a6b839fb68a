use canary_rollout::{
    Phase, Plan, Rollout, State,
    plan::OnDegraded,
    state::{PauseReason, Stage},
};

use crate::weight_lock::OnTrip;

/// The parts of the rollout in force that other parts of the driver depend on.
pub(super) struct InForce {
    pub(super) plan: Plan,
    pub(super) attempt: u64,
    pub(super) stage: Option<Stage>,
}

impl InForce {
    pub(super) fn of(rollout: &Rollout) -> Self {
        let (attempt, stage) = (rollout.attempt(), rollout.state().stage());
        Self { plan: rollout.plan().clone(), attempt, stage }
    }
}

/// Returns the reaction of a rollout to a trip of the guard.
pub(super) fn on_trip(rollout: &Rollout) -> OnTrip {
    let is_judged =
        matches!(rollout.phase(), Phase::Starting | Phase::Running | Phase::Paused | Phase::Baking);
    if !is_judged || is_frozen(rollout.state()) {
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
