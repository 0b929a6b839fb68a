//! The canary's controls as routes of the app's own.
//!
//! They are open to whoever can reach the port: for an example on loopback, and nowhere else.

use axum::{
    Json, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::{delete, get, post, put},
};
use serde::Serialize;
use tower_canary::{
    CanaryHandle, Channel, Halted, ParseWeightError, PromoteError, ReleaseId, SplitMode, Weight,
    counts::ChannelCounts,
};

pub(crate) fn router(canary: CanaryHandle) -> Router {
    let raising = Router::new()
        .route("/canary/weight", put(set_weight))
        .route("/canary/promote", post(promote))
        .route("/canary/halt", delete(lift_halt))
        .with_state(canary.clone());
    lowering(canary).merge(raising)
}

/// Those that hold while a plan decides, too. What is raised past a plan, it takes back.
pub(crate) fn lowering(canary: CanaryHandle) -> Router {
    Router::new()
        .route("/canary", get(show))
        .route("/canary/roll-back", post(roll_back))
        .route("/canary/halt", post(halt))
        .with_state(canary)
}

async fn show(State(canary): State<CanaryHandle>) -> Json<Canary> {
    Json(Canary::from(&canary))
}

async fn set_weight(
    State(canary): State<CanaryHandle>,
    body: String,
) -> Result<Json<Canary>, Refused> {
    canary.set_weight(body.parse::<Weight>()?)?;
    Ok(Json(Canary::from(&canary)))
}

async fn promote(State(canary): State<CanaryHandle>) -> Result<Json<Canary>, Refused> {
    canary.promote()?;
    Ok(Json(Canary::from(&canary)))
}

async fn roll_back(State(canary): State<CanaryHandle>) -> Json<Canary> {
    canary.roll_back();
    Json(Canary::from(&canary))
}

/// The body is the reason.
async fn halt(State(canary): State<CanaryHandle>, body: String) -> Json<Canary> {
    let reason = body.trim();
    canary.halt(if reason.is_empty() { "no reason given" } else { reason });
    Json(Canary::from(&canary))
}

async fn lift_halt(State(canary): State<CanaryHandle>) -> Json<Canary> {
    canary.lift_halt();
    Json(Canary::from(&canary))
}

/// The state of the canary, as JSON.
#[derive(Debug, Serialize)]
struct Canary {
    name: String,
    phase: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    halted_because: Option<String>,
    /// The share of calls that we ask of the canary.
    weight: String,
    /// The share that we saw since that weight was set.
    share: Option<f64>,
    stable: Calls,
    canary: Calls,
}

/// What became of a channel's calls.
#[derive(Debug, Serialize)]
struct Calls {
    release: Option<String>,
    picked: u64,
    success: u64,
    failure: u64,
    cancelled: u64,
    spilled: u64,
    panicked: u64,
    in_flight: u64,
}

impl From<&CanaryHandle> for Canary {
    fn from(handle: &CanaryHandle) -> Self {
        let snapshot = handle.counts();
        let counts = snapshot.total();
        let (phase, halted_because) = match handle.mode() {
            SplitMode::Splitting => ("splitting", None),
            SplitMode::Promoted => ("promoted", None),
            SplitMode::Halted { reason } => ("halted", Some(reason)),
            _ => ("unknown", None),
        };
        let calls = |channel| Calls::new(handle.release(channel), &counts.total(channel));
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

impl Calls {
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

/// A command that was not obeyed.
#[derive(Debug)]
enum Refused {
    NotAWeight(ParseWeightError),
    NotChanged(PromoteError),
}

impl From<ParseWeightError> for Refused {
    fn from(error: ParseWeightError) -> Self {
        Self::NotAWeight(error)
    }
}

impl From<Halted> for Refused {
    fn from(error: Halted) -> Self {
        Self::NotChanged(error.into())
    }
}

impl From<PromoteError> for Refused {
    fn from(error: PromoteError) -> Self {
        Self::NotChanged(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        match self {
            Self::NotAWeight(error) => (StatusCode::BAD_REQUEST, format!("{error}\n")),
            Self::NotChanged(error) => (StatusCode::CONFLICT, format!("{error}\n")),
        }
        .into_response()
    }
}
