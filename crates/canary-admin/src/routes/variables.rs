use axum::response::Response;
use canary_api::{Role, VariablesRequest, VariablesView};
use canary_controller::Command;
use tower_canary::Variables;

use crate::{
    access::Caller,
    audit,
    canary::Canary,
    extract::{JsonBody, NamedCanary, Seen},
    problem::ApiError,
    routes::{
        commands::{give, wait_until_shown},
        json,
    },
    view,
};

/// The variables of the stage, and those that the canary overrides.
#[utoipa::path(
    get,
    path = "/canaries/{canary}/variables",
    params(("canary" = String, Path, description = "The name of the canary")),
    responses((status = 200, description = "The variables", body = VariablesView))
)]
pub(crate) async fn show(
    NamedCanary(canary): NamedCanary,
    caller: Caller,
) -> Result<Response, ApiError> {
    caller.needs(Role::Operate)?;
    audit::done(&caller, canary.name(), "read the variables", "");
    Ok(json(&variables(&canary)))
}

/// Changes variables. The header `If-Match` has to name the latest event that its author has seen; `*`
/// means that its author wants no check.
#[utoipa::path(
    patch,
    path = "/canaries/{canary}/variables",
    params(
        ("canary" = String, Path, description = "The name of the canary"),
        ("if-match" = Option<String>, Header, description = "The id of the latest event in quotes, or *")
    ),
    request_body = VariablesRequest,
    responses(
        (status = 200, description = "The variables afterwards", body = VariablesView),
        (status = 409, description = "The change is refused", body = canary_api::Problem, content_type = "application/problem+json"),
        (status = 412, description = "The rollout has changed since", body = canary_api::Problem, content_type = "application/problem+json"),
        (status = 428, description = "The change needs `If-Match`", body = canary_api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The change could not be stored", body = canary_api::Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn change(
    NamedCanary(canary): NamedCanary,
    caller: Caller,
    seen: Result<Seen, ApiError>,
    JsonBody(request): JsonBody<VariablesRequest>,
) -> Result<Response, ApiError> {
    caller.needs(Role::Operate)?;
    let VariablesRequest { stage, overrides, reason } = request;
    let command = Command::SetVariables(view::to_patches(stage, overrides));
    let transition = give(&canary, &caller, command, &reason, seen).await?;
    wait_until_shown(canary.rollout(), &transition).await;
    audit::done(&caller, canary.name(), "read the variables", "");
    Ok(json(&variables(&canary)))
}

fn variables(canary: &Canary) -> VariablesView {
    let map = |variables: &Variables| {
        variables.iter().map(|(name, value)| (name.to_owned(), value.clone())).collect()
    };
    let canary = canary.rollout().canary();
    VariablesView { stage: map(&canary.stage_variables()), overrides: map(&canary.overrides()) }
}
