//! Routes that show and control the canary.
//!
//! They have no authentication. Use them only in examples that listen on the loopback interface.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Serialize;
use tower_canary::{
    CanaryHandle, Channel, Halted, ParseWeightError, PromoteError, ReleaseId, SplitMode, Weight,
    counts::ChannelCounts,
};

pub(crate) fn router(canary: CanaryHandle) -> Router {
    Router::new()
        .route("/canary", get(show))
        .route("/canary/weight", put(set_weight))
        .route("/canary/promote", post(promote))
        .route("/canary/roll-back", post(roll_back))
        .route("/canary/halt", post(halt).delete(lift_halt))
        .with_state(canary)
}

async fn show(State(canary): State<CanaryHandle>) -> Json<CanaryState> {
    Json(CanaryState::from(&canary))
}

async fn set_weight(
    State(canary): State<CanaryHandle>,
    body: String,
) -> Result<Json<CanaryState>, ControlError> {
    canary.set_weight(body.parse::<Weight>()?)?;
    Ok(Json(CanaryState::from(&canary)))
}

async fn promote(State(canary): State<CanaryHandle>) -> Result<Json<CanaryState>, ControlError> {
    canary.promote()?;
    Ok(Json(CanaryState::from(&canary)))
}

async fn roll_back(State(canary): State<CanaryHandle>) -> Json<CanaryState> {
    canary.roll_back();
    Json(CanaryState::from(&canary))
}

/// The body is the reason.
async fn halt(State(canary): State<CanaryHandle>, body: String) -> Json<CanaryState> {
    let reason = body.trim();
    canary.halt(if reason.is_empty() { "no reason given" } else { reason });
    Json(CanaryState::from(&canary))
}

async fn lift_halt(State(canary): State<CanaryHandle>) -> Json<CanaryState> {
    canary.lift_halt();
    Json(CanaryState::from(&canary))
}

/// The state of the canary, as JSON.
#[derive(Debug, Serialize)]
struct CanaryState {
    name: String,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    halted_because: Option<String>,
    /// The requested share of calls.
    weight: String,
    /// The observed share of calls since the weight was set.
    share: Option<f64>,
    stable: CallCounts,
    canary: CallCounts,
}

/// The counts of a channel.
#[derive(Debug, Serialize)]
struct CallCounts {
    release: Option<String>,
    picked: u64,
    success: u64,
    failure: u64,
    cancelled: u64,
    spilled: u64,
    panicked: u64,
    in_flight: u64,
}

impl From<&CanaryHandle> for CanaryState {
    fn from(handle: &CanaryHandle) -> Self {
        let snapshot = handle.counts();
        let counts = snapshot.total();
        let (phase, halted_because) = match handle.mode() {
            SplitMode::Splitting => ("splitting", None),
            SplitMode::Promoted => ("promoted", None),
            SplitMode::Halted { reason } => ("halted", Some(reason)),
            _ => ("unknown", None),
        };
        let calls = |channel| CallCounts::new(handle.release(channel), &counts.total(channel));
        Self {
            name: handle.name().to_string(),
            phase,
            halted_because,
            weight: handle.weight().to_string(),
            share: snapshot.current().and_then(|epoch| epoch.counts.share()),
            stable: calls(Channel::Stable),
            canary: calls(Channel::Canary),
        }
    }
}

impl CallCounts {
    fn new(release: Option<&ReleaseId>, counts: &ChannelCounts) -> Self {
        Self {
            release: release.map(ToString::to_string),
            picked: counts.picked,
            success: counts.success,
            failure: counts.failure,
            cancelled: counts.cancelled,
            spilled: counts.spilled,
            panicked: counts.panicked,
            in_flight: counts.in_flight(),
        }
    }
}

/// The error of a rejected command.
#[derive(Debug)]
enum ControlError {
    InvalidWeight(ParseWeightError),
    Rejected(PromoteError),
}

impl From<ParseWeightError> for ControlError {
    fn from(error: ParseWeightError) -> Self {
        Self::InvalidWeight(error)
    }
}

impl From<Halted> for ControlError {
    fn from(error: Halted) -> Self {
        Self::Rejected(error.into())
    }
}

impl From<PromoteError> for ControlError {
    fn from(error: PromoteError) -> Self {
        Self::Rejected(error)
    }
}

impl IntoResponse for ControlError {
    fn into_response(self) -> Response {
        match self {
            Self::InvalidWeight(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
            Self::Rejected(error) => (StatusCode::CONFLICT, format!("{error}\n")),
        }
        .into_response()
    }
}
