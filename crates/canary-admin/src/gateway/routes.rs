use std::sync::Arc;

use axum::{
    extract::{Path, State},
    response::Response,
};
use canary_api::Role;

use super::{
    apply::apply,
    operation::{self, PatchRequest},
    stage::{Stage, StageDocument},
    translate::{Refusal, Unsigned},
};
use crate::{
    access::Caller,
    audit,
    canary::Canary,
    extract::{JsonBody, NamedCanary},
    problem::{ApiError, Kind},
    routes::json,
    shared::Shared,
};

/// The stage of a canary, as API Gateway shows it. Only operators see the values of variables.
#[utoipa::path(
    get,
    path = "/restapis/{canary}/stages/{stage}",
    params(
        ("canary" = String, Path, description = "The name of the canary"),
        ("stage" = String, Path, description = "The name of the environment, or prod")
    ),
    responses(
        (status = 200, description = "The stage", body = StageDocument),
        (status = 503, description = "The stored rollout is not loaded yet", body = Refusal)
    )
)]
pub(crate) async fn show(
    State(shared): State<Arc<Shared>>,
    Path((canary, stage)): Path<(String, String)>,
    caller: Caller,
    _: Unsigned,
) -> Result<Response, ApiError> {
    let canary = canary_of(&shared, &canary, &stage)?;
    if caller.role() == Role::Operate {
        audit::done(&caller, canary.name(), "read the variables", "");
    }
    document(&canary, &stage, &caller)
}

/// Changes the stage of a canary by JSON Patch, as API Gateway does.
#[utoipa::path(
    patch,
    path = "/restapis/{canary}/stages/{stage}",
    params(
        ("canary" = String, Path, description = "The name of the canary"),
        ("stage" = String, Path, description = "The name of the environment, or prod")
    ),
    request_body = PatchRequest,
    responses(
        (status = 200, description = "The stage afterwards", body = StageDocument),
        (status = 409, description = "The state of the rollout does not allow the change", body = Refusal),
        (status = 503, description = "The change could not be stored", body = Refusal)
    )
)]
pub(crate) async fn update(
    State(shared): State<Arc<Shared>>,
    Path((canary, stage)): Path<(String, String)>,
    caller: Caller,
    _: Unsigned,
    JsonBody(request): JsonBody<PatchRequest>,
) -> Result<Response, ApiError> {
    caller.needs(Role::Operate)?;
    let canary = canary_of(&shared, &canary, &stage)?;
    let operations = operation::parse(request)?;
    apply(&canary, &stage, &caller, &operations).await?;
    audit::done(&caller, canary.name(), "read the variables", "");
    document(&canary, &stage, &caller)
}

fn document(canary: &Canary, stage: &str, caller: &Caller) -> Result<Response, ApiError> {
    let rollout = canary.rollout();
    let status = rollout.status();
    if let Some(reason) = &status.load_error {
        let detail = format!("the stored rollout is not loaded yet: {reason}");
        return Err(ApiError::new(Kind::Storage, detail));
    }
    let stage = Stage::of(stage, &status, rollout.canary());
    Ok(json(&stage.document(caller.role())))
}

fn canary_of(shared: &Shared, canary: &str, stage: &str) -> Result<Arc<Canary>, ApiError> {
    let NamedCanary(canary) = NamedCanary::find(shared, canary)?;
    let expected = shared.environment.as_ref().map_or(STAGE, |environment| &environment.name);
    if stage == expected {
        return Ok(canary);
    }
    Err(ApiError::new(Kind::NotFound, "there is no stage of this name")
        .field("stage", stage, expected))
}

/// The name of the stage if the environment has none.
const STAGE: &str = "prod";
