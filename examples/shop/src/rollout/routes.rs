//! What people ask and tell a rollout by HTTP.
//!
//! They are open to whoever can reach the port, as the canary's [controls](crate::control) are.

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

async fn show(State(rollout): State<RolloutHandle>) -> Shown {
    Shown::new(&rollout.status(), None)
}

/// The body is the reason, or the weight to set.
async fn command(
    State(rollout): State<RolloutHandle>,
    Path(name): Path<String>,
    headers: HeaderMap,
    body: String,
) -> Result<Shown, Refused> {
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
        _ => return Err(Refused::NamesNoGate(name)),
    };
    order(&rollout, Order::new(command, who(&headers), reason)).await
}

/// Opens a gate that waits for an operator, or rejects it. The body is the reason.
async fn answer_gate(
    State(rollout): State<RolloutHandle>,
    Path((name, gate)): Path<(String, String)>,
    headers: HeaderMap,
    reason: String,
) -> Result<Shown, Refused> {
    let command = match name.parse()? {
        CommandName::Approve => Command::Approve { gate },
        CommandName::Reject => Command::Reject { gate },
        other => return Err(Refused::TakesNoGate(other)),
    };
    order(&rollout, Order::new(command, who(&headers), reason.trim())).await
}

async fn order(rollout: &RolloutHandle, order: Order) -> Result<Shown, Refused> {
    let outcome = rollout.command(order).await?;
    Ok(Shown::new(&rollout.status(), outcome.note))
}

/// Nobody checks the name: a service of your own takes it from its authentication.
fn who(headers: &HeaderMap) -> Actor {
    let name = headers.get("x-user").and_then(|name| name.to_str().ok());
    Actor::person(name.unwrap_or("somebody"))
}

/// A rollout, as JSON.
#[derive(Debug, Serialize)]
struct Shown {
    /// What came of a command that changed nothing, or could not be stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    phase: Phase,
    waits: String,
    weight: String,
    verdict: String,
    allowed: Vec<&'static str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    probes: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    unloaded: Option<String>,
    is_stored: bool,
    /// In sentences, the latest first.
    events: Vec<String>,
}

impl Shown {
    fn new(status: &Status, note: Option<String>) -> Self {
        Self {
            note,
            phase: status.rollout.phase(),
            waits: status.summary.clone(),
            weight: status.weight.to_string(),
            verdict: status.judgment.to_string(),
            allowed: status.allowed.iter().map(|name| name.as_str()).collect(),
            probes: status.probes.clone(),
            unloaded: status.load_error.clone(),
            is_stored: status.load_error.is_none() && status.unsaved_for.is_none(),
            events: status.rollout.history().rev().map(ToString::to_string).collect(),
        }
    }
}

impl IntoResponse for Shown {
    /// In lines, since people read it.
    fn into_response(self) -> Response {
        let json = serde_json::to_string_pretty(&self).expect("all keys are texts");
        ([(header::CONTENT_TYPE, "application/json")], json + "\n").into_response()
    }
}

/// A command that was not obeyed.
#[derive(Debug)]
enum Refused {
    Unknown(UnknownCommand),
    NotAWeight(ParseWeightError),
    NamesNoGate(String),
    TakesNoGate(CommandName),
    NotDone(CommandError),
}

impl From<UnknownCommand> for Refused {
    fn from(error: UnknownCommand) -> Self {
        Self::Unknown(error)
    }
}

impl From<ParseWeightError> for Refused {
    fn from(error: ParseWeightError) -> Self {
        Self::NotAWeight(error)
    }
}

impl From<CommandError> for Refused {
    fn from(error: CommandError) -> Self {
        Self::NotDone(error)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let (status, why) = match self {
            Self::Unknown(error) => (StatusCode::NOT_FOUND, error.to_string()),
            Self::NotAWeight(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::NamesNoGate(name) => {
                (StatusCode::BAD_REQUEST, format!("which gate? POST /rollout/{name}/GATE"))
            }
            Self::TakesNoGate(name) => {
                (StatusCode::BAD_REQUEST, format!("{name} takes no gate: POST /rollout/{name}"))
            }
            Self::NotDone(error @ (CommandError::Refused(_) | CommandError::Changed { .. })) => {
                (StatusCode::CONFLICT, error.to_string())
            }
            Self::NotDone(error) => (StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
        };
        (status, why + "\n").into_response()
    }
}
