use std::sync::Arc;

use axum::{extract::State, response::Response};
use canary_api::{PlanCheck, PlanCheckRequest, PlanFault, PlanFormat, PlanRequest, PlanView, Role};
use canary_controller::{
    Plan, RolloutHandle,
    rollout::plan::{GateKind, ProbeKind},
};

use crate::{
    access::Caller,
    extract::{JsonBody, NamedCanary, Seen},
    problem::{ApiError, Kind},
    routes::{commands, json},
    shared::Shared,
    view,
};

/// The plan of a canary, without secrets and without the paths of URLs.
#[utoipa::path(
    get,
    path = "/canaries/{canary}/plan",
    params(("canary" = String, Path, description = "The name of the canary")),
    responses((status = 200, description = "The plan", body = PlanView))
)]
pub(crate) async fn show(NamedCanary(canary): NamedCanary) -> Response {
    json(&view::plan(canary.rollout().status().rollout.plan()))
}

/// Replaces the plan. The new plan applies from the next start. The header `If-Match` has to name the
/// latest event that its author has seen; `*` means that its author wants no check.
///
/// It has no webhooks and no receivers of notifications, because these come only from code and files of
/// the service. The receivers of the present plan are kept.
#[utoipa::path(
    put,
    path = "/canaries/{canary}/plan",
    params(
        ("canary" = String, Path, description = "The name of the canary"),
        ("if-match" = Option<String>, Header, description = "The id of the latest event in quotes, or *")
    ),
    request_body = PlanRequest,
    responses(
        (status = 200, description = "The plan afterwards", body = PlanView),
        (status = 409, description = "The plan is in use", body = canary_api::Problem, content_type = "application/problem+json"),
        (status = 412, description = "The rollout has changed since", body = canary_api::Problem, content_type = "application/problem+json"),
        (status = 428, description = "The change needs `If-Match`", body = canary_api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The plan could not be stored", body = canary_api::Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn replace(
    NamedCanary(canary): NamedCanary,
    caller: Caller,
    seen: Seen,
    JsonBody(request): JsonBody<PlanRequest>,
) -> Result<Response, ApiError> {
    caller.needs(Role::Operate)?;
    let rollout = canary.rollout();
    let plan = read(&request.text, request.format).map_err(invalid)?;
    let plan = keep_receivers(&plan, rollout)?;
    let (by, reason) = (caller.actor(), &request.reason);
    let result = match seen {
        Seen::Event(seen) => rollout.replace_plan_at(&seen, plan, by, reason).await,
        Seen::Nothing if rollout.feed().borrow().is_some() => {
            return Err(commands::latest_needed(rollout, "a new plan"));
        }
        Seen::Nothing | Seen::Any => rollout.replace_plan(plan, by, reason).await,
    };
    match result {
        Ok(transition) => {
            commands::wait_until_shown(rollout, &transition).await;
            Ok(show(NamedCanary(canary)).await)
        }
        Err(error) => Err(commands::failed(&canary, error).await),
    }
}

/// Checks a plan. Nothing changes.
#[utoipa::path(
    post,
    path = "/plans/check",
    request_body = PlanCheckRequest,
    responses((status = 200, description = "The faults, or the forecast", body = PlanCheck))
)]
pub(crate) async fn check(
    State(shared): State<Arc<Shared>>,
    JsonBody(request): JsonBody<PlanCheckRequest>,
) -> Result<Response, ApiError> {
    let canary = match &request.canary {
        None => None,
        Some(name) => Some(shared.canaries.find(name).ok_or_else(|| {
            ApiError::new(Kind::Invalid, "there is no canary of this name").field(
                "canary",
                name,
                "the name of a canary",
            )
        })?),
    };
    let plan = match read(&request.text, request.format) {
        Ok(plan) => plan,
        Err(faults) => return Ok(json(&PlanCheck { faults, forecast: None })),
    };
    let traffic = canary.and_then(|canary| canary.rollout().traffic());
    let calls = request.calls_per_second.or(traffic.map(|it| it.calls_per_second));
    let failure_rate = request.failure_rate.or(traffic.and_then(|it| it.failure_rate));
    let Some(calls) = calls.filter(|calls| *calls > 0.0 || request.calls_per_second.is_some())
    else {
        return Ok(json(&PlanCheck { faults: Vec::new(), forecast: None }));
    };
    let dry_run = plan.dry_run(calls, failure_rate);
    let dry_run = dry_run.map_err(|error| ApiError::new(Kind::Invalid, error.to_string()))?;
    let forecast = view::forecast(&dry_run, calls, failure_rate);
    Ok(json(&PlanCheck { faults: Vec::new(), forecast: Some(forecast) }))
}

/// Reads a plan, and refuses what only code and files of the service may contain.
fn read(text: &str, format: PlanFormat) -> Result<Plan, Vec<PlanFault>> {
    let plan = match format {
        PlanFormat::Json => Plan::from_json(text),
        PlanFormat::Yaml => Plan::from_yaml(text),
        _ => Plan::from_toml(text),
    };
    let plan = plan.map_err(|error| view::plan_faults(&error))?;
    let fault = |field: String, message: &str| PlanFault {
        line: 0,
        column: 0,
        field,
        message: message.to_owned(),
    };
    let mut faults = Vec::new();
    for (name, gate) in plan.gates() {
        if matches!(gate.kind, GateKind::Webhook(_)) {
            faults.push(fault(format!("gates.{name}.kind.webhook"), NO_WEBHOOK));
        }
    }
    for (name, probe) in plan.probes() {
        let is_read = |method: &str| matches!(method, "GET" | "HEAD");
        if matches!(&probe.kind, ProbeKind::Http(http) if !is_read(&http.method)) {
            faults.push(fault(format!("probes.{name}.kind.http.method"), NO_METHOD));
        }
    }
    for name in plan.notify().keys() {
        faults.push(fault(format!("notify.{name}"), NO_RECEIVER));
    }
    if faults.is_empty() { Ok(plan) } else { Err(faults) }
}

fn invalid(faults: Vec<PlanFault>) -> ApiError {
    let detail = match &*faults {
        [fault] => format!("the plan has a fault: {}: {}", fault.field, fault.message),
        faults => format!("the plan has {} faults", faults.len()),
    };
    ApiError::new(Kind::Invalid, detail).with(|problem| problem.faults = faults)
}

/// Returns the plan with the receivers of notifications of the present one.
fn keep_receivers(plan: &Plan, rollout: &RolloutHandle) -> Result<Plan, ApiError> {
    let status = rollout.status();
    let receivers = status.rollout.plan().notify();
    if receivers.is_empty() {
        return Ok(plan.clone());
    }
    let to_json = |error: serde_json::Error| ApiError::new(Kind::Internal, error.to_string());
    let mut json = serde_json::to_value(plan).map_err(to_json)?;
    json["notify"] = serde_json::to_value(receivers).map_err(to_json)?;
    Plan::from_json(&json.to_string()).map_err(|error| invalid(view::plan_faults(&error)))
}

const NO_WEBHOOK: &str =
    "a plan from the API has no webhooks: put this gate into a plan of the service";
const NO_METHOD: &str = "a probe of a plan from the API only reads: expected GET or HEAD";
const NO_RECEIVER: &str =
    "a plan from the API has no receivers of notifications: those of the present plan are kept";
