use axum::response::Response;
use canary_api::Points;
use canary_controller::Timestamp;
use serde::Deserialize;

use crate::{
    extract::{NamedCanary, Params},
    problem::{ApiError, Kind},
    recorder::Recorder,
    routes::json,
};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct PointsParams {
    /// The time between two points in seconds: 1 for the last five minutes, 10 for an hour, 60 for a
    /// day.
    #[serde(default = "default_step")]
    #[param(default = 1, minimum = 1, maximum = 60)]
    step: u32,
    /// Only points whose time ends after this one, in milliseconds since 1970.
    since: Option<i64>,
}

const fn default_step() -> u32 {
    1
}

/// The recent past of a canary, in columns for charts.
#[utoipa::path(
    get,
    path = "/canaries/{canary}/points",
    params(("canary" = String, Path, description = "The name of the canary"), PointsParams),
    responses((status = 200, description = "The points", body = Points))
)]
pub(crate) async fn points(
    NamedCanary(canary): NamedCanary,
    Params(params): Params<PointsParams>,
) -> Result<Response, ApiError> {
    let since = params.since.map(Timestamp::from_millis);
    let points = canary.recorder().points(params.step, since);
    let points = points.ok_or_else(|| {
        let [seconds, tens, minutes] = Recorder::STEPS;
        let expected = format!("{seconds}, {tens} or {minutes}");
        ApiError::new(Kind::Invalid, "there are no points with this time between them").field(
            "step",
            &params.step.to_string(),
            &expected,
        )
    })?;
    Ok(json(&points))
}
