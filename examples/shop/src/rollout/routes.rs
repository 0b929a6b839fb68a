//! Routes that show and control the rollout.
//!
//! They have no authentication, like the canary's [control routes](crate::control).

use std::collections::BTreeMap;

use axum::{
    Router,
    extract::{Path, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use canary_controller::{
    Actor, Command, CommandError, CommandName, Order, Phase, RolloutHandle, Status,
    rollout::command::UnknownCommand,
};
use serde::Serialize;
use tower_canary::ParseWeightError;

pub(crate) fn router(rollout: RolloutHandle) -> Router {
    Router::new()
        .route("/rollout", get(show))
        .route("/rollout/{command}", post(command))
        .route("/rollout/{command}/{gate}", post(answer_gate))
        .with_state(rollout)
}

async fn show(State(rollout): State<RolloutHandle>) -> RolloutStatus {
    RolloutStatus::new(&rollout.status(), None)
}

/// The body is the reason, the weight for `set-weight`, or a JSON object for `set-variables`.
async fn command(
    State(rollout): State<RolloutHandle>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Result<RolloutStatus, RolloutError> {
    let body = body.trim();
    let (command, reason) = match name.parse()? {
        CommandName::Start => (Command::Start, body),
        CommandName::Pause => (Command::Pause, body),
        CommandName::Resume => (Command::Resume, body),
        CommandName::SkipStep => (Command::SkipStep, body),
        CommandName::SetWeight => (Command::SetWeight { weight: body.parse()? }, ""),
        CommandName::Promote => (Command::Promote, body),
        CommandName::PromoteFully => (Command::PromoteFully, body),
        CommandName::RollBack => (Command::RollBack, body),
        CommandName::Halt => (Command::Halt, body),
        CommandName::LiftHalt => (Command::LiftHalt, body),
        CommandName::Restart => (Command::Restart, body),
        CommandName::SetVariables => (Command::SetVariables(serde_json::from_str(body)?), ""),
        _ => return Err(RolloutError::GateMissing(name)),
    };
    order(&rollout, Order::new(command, operator(&headers), reason)).await
}

/// Opens a gate that waits for an operator, or rejects it. The body is the reason.
async fn answer_gate(
    State(rollout): State<RolloutHandle>,
    Path((name, gate)): Path<(String, String)>,
    headers: HeaderMap,
    reason: String,
) -> Result<RolloutStatus, RolloutError> {
    let command = match name.parse()? {
        CommandName::Approve => Command::Approve { gate },
        CommandName::Reject => Command::Reject { gate },
        other => return Err(RolloutError::UnexpectedGate(other)),
    };
    order(&rollout, Order::new(command, operator(&headers), reason.trim())).await
}

async fn order(rollout: &RolloutHandle, order: Order) -> Result<RolloutStatus, RolloutError> {
    let outcome = rollout.command(order).await?;
    Ok(RolloutStatus::new(&rollout.status(), outcome.note))
}

/// Returns the operator named in the header. A real service takes the name from its authentication.
fn operator(headers: &HeaderMap) -> Actor {
    let name = headers.get("x-user").and_then(|name| name.to_str().ok());
    Actor::person(name.unwrap_or("unknown"))
}

/// The JSON form of a rollout.
#[derive(Debug, Serialize)]
struct RolloutStatus {
    /// A note if the command changed nothing or could not be stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    phase: Phase,
    summary: String,
    weight: String,
    verdict: String,
    allowed: Vec<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    probes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    load_error: Option<String>,
    is_stored: bool,
    /// Whether this process drives the rollout. The others on the same state follow it.
    is_driving: bool,
    /// Sentences, the latest first.
    events: Vec<String>,
}

impl RolloutStatus {
    fn new(status: &Status, note: Option<String>) -> Self {
        Self {
            note,
            phase: status.rollout.phase(),
            summary: status.summary.clone(),
            is_driving: status.is_driving,
            weight: status.weight.to_string(),
            verdict: status.judgment.to_string(),
            allowed: status.allowed.iter().map(|name| name.as_str()).collect(),
            probes: status.probes.clone(),
            load_error: status.load_error.clone(),
            is_stored: status.load_error.is_none() && status.unsaved_for.is_none(),
            events: status.rollout.history().rev().map(ToString::to_string).collect(),
        }
    }
}

impl IntoResponse for RolloutStatus {
    /// Pretty-printed, to be read with `curl`.
    fn into_response(self) -> Response {
        let json = serde_json::to_string_pretty(&self).expect("all keys are strings");
        ([(header::CONTENT_TYPE, "application/json")], json + "\n").into_response()
    }
}

/// The error of a rejected command.
#[derive(Debug)]
enum RolloutError {
    Unknown(UnknownCommand),
    InvalidWeight(ParseWeightError),
    InvalidVariables(serde_json::Error),
    GateMissing(String),
    UnexpectedGate(CommandName),
    Rejected(CommandError),
}

impl From<UnknownCommand> for RolloutError {
    fn from(error: UnknownCommand) -> Self {
        Self::Unknown(error)
    }
}

impl From<serde_json::Error> for RolloutError {
    fn from(error: serde_json::Error) -> Self {
        Self::InvalidVariables(error)
    }
}

impl From<ParseWeightError> for RolloutError {
    fn from(error: ParseWeightError) -> Self {
        Self::InvalidWeight(error)
    }
}

impl From<CommandError> for RolloutError {
    fn from(error: CommandError) -> Self {
        Self::Rejected(error)
    }
}

impl IntoResponse for RolloutError {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Unknown(error) => (StatusCode::NOT_FOUND, error.to_string()),
            Self::InvalidWeight(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::InvalidVariables(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::GateMissing(name) => (
                StatusCode::BAD_REQUEST,
                format!("the gate is missing: use POST /rollout/{name}/GATE"),
            ),
            Self::UnexpectedGate(name) => {
                (StatusCode::BAD_REQUEST, format!("{name} takes no gate: use POST /rollout/{name}"))
            }
            Self::Rejected(error @ (CommandError::Refused(_) | CommandError::Changed { .. })) => {
                (StatusCode::CONFLICT, error.to_string())
            }
            Self::Rejected(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        };
        (status, message + "\n").into_response()
    }
}
