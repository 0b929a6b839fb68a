//! The API's view of a rollout. It leaves out what a caller with the role view may not see: values of
//! variables, secrets of the plan, the salt, and values in mirrored responses.

mod canary;
mod channels;
mod command;
mod event;
mod findings;
mod offers;
mod plan;

use std::time::Duration;

pub(crate) use self::{
    canary::canary,
    command::{command_name, to_command, to_patches},
    event::event,
    offers::{needs_latest, preview},
    plan::{forecast, plan, plan_faults},
};

/// Returns the phase as the API names it.
pub(crate) fn phase(phase: canary_controller::Phase) -> canary_api::Phase {
    use canary_api::Phase as Api;
    use canary_controller::Phase;
    match phase {
        Phase::Idle => Api::Idle,
        Phase::Starting => Api::Starting,
        Phase::Running => Api::Running,
        Phase::Paused => Api::Paused,
        Phase::RampingDown => Api::RampingDown,
        Phase::Baking => Api::Baking,
        Phase::Promoted => Api::Promoted,
        Phase::RolledBack => Api::RolledBack,
        Phase::Halted => Api::Halted,
        _ => Api::Unknown,
    }
}

pub(crate) fn verdict(verdict: canary_controller::Verdict) -> canary_api::Verdict {
    use canary_api::Verdict as Api;
    use canary_controller::Verdict;
    match verdict {
        Verdict::Healthy => Api::Healthy,
        Verdict::Degraded => Api::Degraded,
        Verdict::Inconclusive => Api::Inconclusive,
    }
}

fn by_channel<T>(values: canary_core::PerChannel<T>) -> canary_api::PerChannel<T> {
    canary_api::PerChannel { stable: values.stable, canary: values.canary }
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
