use canary_api::{ForecastStep, PlanFault, PlanForecast, PlanView};
use canary_controller::{
    Plan, PlanError,
    rollout::dry_run::{Bound, DryRun},
};

/// Returns a plan without its secrets.
pub(crate) fn plan(plan: &Plan) -> PlanView {
    PlanView { plan: plan.to_public_json(), by_hand: plan.is_by_hand() }
}

pub(crate) fn plan_faults(error: &PlanError) -> Vec<PlanFault> {
    let fault = |fault: &canary_controller::rollout::plan::PlanFault| PlanFault {
        line: fault.line,
        column: fault.column,
        field: fault.field.clone(),
        message: fault.message.clone(),
    };
    error.faults().iter().map(fault).collect()
}

/// Returns the forecast for this traffic.
pub(crate) fn forecast(
    dry_run: &DryRun,
    calls_per_second: f64,
    failure_rate: Option<f64>,
) -> PlanForecast {
    let step = |step: &canary_controller::rollout::dry_run::DryStep| ForecastStep {
        weight: step.weight.to_string(),
        takes_s: step.takes.as_secs_f64(),
        bound: match step.bound {
            Bound::Calls => "calls",
            Bound::Proof => "proof",
            _ => "time",
        }
        .to_owned(),
        calls: step.calls,
        gates: step.gates.clone(),
    };
    PlanForecast {
        text: dry_run.to_string(),
        calls_per_second,
        failure_rate,
        total_s: dry_run.total.as_secs_f64(),
        proven_s: dry_run.proven.map(|time| time.as_secs_f64()),
        caught_failure_rate: dry_run.caught.map(|caught| caught.canary),
        steps: dry_run.steps.iter().map(step).collect(),
        warnings: dry_run.warnings.clone(),
    }
}
