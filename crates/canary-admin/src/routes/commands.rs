use std::time::Duration;

use axum::response::Response;
use canary_api::{CommandRequest, CommandResponse, EventId as ApiEventId, EventView, PreviewView};
use canary_controller::{
    Command, CommandError, CommandName, Order, Refusal, RolloutHandle, Transition,
    rollout::event::{Event, EventId, EventKind},
};
use serde::Deserialize;

use crate::{
    access::Caller,
    audit,
    canary::Canary,
    extract::{JsonBody, NamedCanary, Params, Seen},
    problem::{ApiError, Kind},
    routes::{events, json},
    view,
};

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(crate) struct CommandParams {
    /// Whether to preview the effect only: `1`. Nothing changes then.
    #[param(minimum = 0, maximum = 1)]
    dry: Option<u8>,
}

/// Gives a command to the rollout, or previews its effect.
///
/// A command that would do harm if the rollout has changed needs the header `If-Match` with the id of
/// the latest event that its author has seen: it gives the canary more calls, opens a gate, discards
/// evidence, or changes variables. `*` means that its author wants no check. `roll_back` and `halt`
/// ignore the header.
///
/// 412 shows the events since, and whether one of them is what this command does, by the same author. A
/// client that lost the response knows by it that the command was carried out.
#[utoipa::path(
    post,
    path = "/canaries/{canary}/commands",
    params(
        ("canary" = String, Path, description = "The name of the canary"),
        CommandParams,
        ("if-match" = Option<String>, Header, description = "The id of the latest event in quotes, or *")
    ),
    request_body = CommandRequest,
    responses(
        (status = 200, description = "The result, or with `dry=1` the preview", body = CommandResult),
        (status = 409, description = "The state of the rollout does not allow the command", body = canary_api::Problem, content_type = "application/problem+json"),
        (status = 412, description = "The rollout has changed since", body = canary_api::Problem, content_type = "application/problem+json"),
        (status = 428, description = "The command needs `If-Match`", body = canary_api::Problem, content_type = "application/problem+json"),
        (status = 503, description = "The command could not be stored", body = canary_api::Problem, content_type = "application/problem+json")
    )
)]
pub(crate) async fn command(
    NamedCanary(canary): NamedCanary,
    caller: Caller,
    Params(params): Params<CommandParams>,
    seen: Result<Seen, ApiError>,
    JsonBody(request): JsonBody<CommandRequest>,
) -> Result<Response, ApiError> {
    let command = view::to_command(request.command)?;
    if is_dry(params.dry)? {
        check_preview(&caller, &command)?;
        let preview = canary.rollout().preview(&command).map_err(|error| refused(&error))?;
        return Ok(json(&view::preview(canary.rollout(), &command, &preview)));
    }
    match &command {
        Command::Approve { gate } | Command::Reject { gate } => caller.needs_gate(gate)?,
        _ => caller.needs(canary_api::Role::Operate)?,
    }
    let transition = give(&canary, &caller, command, &request.reason, seen).await?;
    Ok(json(&response(&canary, transition).await))
}

/// Checks that the caller may see the preview of a command. That of variables says whether a value is
/// the one that is set.
pub(crate) fn check_preview(caller: &Caller, command: &Command) -> Result<(), ApiError> {
    match command {
        Command::SetVariables(_) => caller.needs(canary_api::Role::Operate),
        _ => Ok(()),
    }
}

fn is_dry(dry: Option<u8>) -> Result<bool, ApiError> {
    match dry {
        None | Some(0) => Ok(false),
        Some(1) => Ok(true),
        Some(other) => Err(ApiError::new(Kind::Invalid, "the parameter is out of range").field(
            "dry",
            &other.to_string(),
            "0 or 1",
        )),
    }
}

/// Gives a command in the name of the caller, who has the right to.
pub(crate) async fn give(
    canary: &Canary,
    caller: &Caller,
    command: Command,
    reason: &str,
    seen: Result<Seen, ApiError>,
) -> Result<Transition, ApiError> {
    let rollout = canary.rollout();
    let seen = match command.name() {
        // They always go through, also if the client names an event that cannot exist.
        CommandName::RollBack | CommandName::Halt => Seen::Any,
        _ => seen?,
    };
    if matches!(seen, Seen::Nothing) && view::needs_latest(rollout, &command) {
        return Err(latest_needed(rollout, command.name().as_str()));
    }
    let order = Order::new(command, caller.actor(), reason);
    let result = match seen {
        Seen::Event(seen) => rollout.command_at(&seen, order.clone()).await,
        Seen::Nothing | Seen::Any => rollout.command(order.clone()).await,
    };
    match result {
        Ok(transition) => {
            if transition.events.is_empty() {
                let what =
                    format!("given the command {}, which changed nothing", order.command.name());
                audit::done(caller, canary.name(), &what, reason);
            }
            Ok(transition)
        }
        Err(CommandError::Changed { seen, latest, .. }) => {
            let since =
                events::stored_after(rollout, seen).await.ok().flatten().unwrap_or_default();
            let already_done = since.iter().any(|event| is_done_by(&order, event));
            let problem = changed(seen, latest, &since);
            Err(problem.with(|problem| problem.already_done = already_done))
        }
        Err(error) => Err(failed(canary, error).await),
    }
}

/// Returns whether an event is what the order asks for, by the same author.
fn is_done_by(order: &Order, event: &Event) -> bool {
    event.by == order.by
        && match (&order.command, &event.kind) {
            (Command::Start | Command::Restart, EventKind::Started { .. })
            | (Command::Pause, EventKind::Paused)
            | (Command::Resume, EventKind::Resumed)
            | (Command::SkipStep, EventKind::StepBegun { .. })
            | (Command::Promote, EventKind::BakeBegun | EventKind::Promoted)
            | (Command::PromoteFully, EventKind::Promoted)
            | (Command::LiftHalt, EventKind::HaltLifted)
            | (Command::SetVariables(_), EventKind::VariablesSet { .. }) => true,
            (Command::SetWeight { weight }, EventKind::WeightSet) => event.weight == *weight,
            (Command::Approve { gate }, EventKind::GateOpened { gate: answered })
            | (Command::Reject { gate }, EventKind::GateRejected { gate: answered }) => {
                gate == answered
            }
            _ => false,
        }
}

/// Returns the problem of a change whose author has to name the latest event.
pub(crate) fn latest_needed(rollout: &RolloutHandle, change: &str) -> ApiError {
    let latest = *rollout.feed().borrow();
    let detail = format!(
        "{change} would do harm if the rollout has changed: name the latest event that you have seen"
    );
    let expected = "the id of the latest event in quotes, or *";
    ApiError::new(Kind::LatestNeeded, detail)
        .field("if-match", "", expected)
        .latest(latest.map(|id| ApiEventId::new(id.to_string())))
}

/// Returns the result of a command, with the canary afterwards.
pub(crate) async fn response(canary: &Canary, transition: Transition) -> CommandResponse {
    let rollout = canary.rollout();
    wait_until_shown(rollout, &transition).await;
    let status = rollout.status();
    let is_stored = |event: &Event| !status.unsaved.contains(event);
    let events: Vec<EventView> =
        transition.events.iter().map(|event| view::event(event, is_stored(event))).collect();
    CommandResponse { note: transition.note, events, canary: canary.view() }
}

/// Waits until the status shows the result of a command, because the reply can overtake it.
pub(crate) async fn wait_until_shown(rollout: &RolloutHandle, transition: &Transition) {
    if let Some(last) = transition.events.last().map(Event::id) {
        let mut statuses = rollout.watch();
        let shows = statuses.wait_for(|status| status.rollout.latest() >= Some(last));
        let _ = tokio::time::timeout(STATUS_DELAY, shows).await;
    }
}

pub(crate) fn refused(refusal: &Refusal) -> ApiError {
    ApiError::new(Kind::Refused, refusal.to_string()).with(|problem| {
        problem.allowed = refusal.allowed.iter().copied().map(view::command_name).collect();
    })
}

/// Returns the problem of a command that was not carried out.
pub(crate) async fn failed(canary: &Canary, error: CommandError) -> ApiError {
    let detail = error.to_string();
    match error {
        CommandError::Refused(refusal) => refused(&refusal),
        CommandError::Changed { seen, latest, .. } => {
            let since = events::stored_after(canary.rollout(), seen).await.ok().flatten();
            changed(seen, latest, &since.unwrap_or_default())
        }
        // The message repeats values.
        CommandError::Variables(_) => ApiError::new(Kind::Invalid, detail).secret(),
        CommandError::Plan(_) => ApiError::new(Kind::Invalid, detail),
        CommandError::OtherReleases(_) | CommandError::PlanInUse(_) => {
            ApiError::new(Kind::Refused, detail)
        }
        _ => ApiError::new(Kind::Storage, detail),
    }
}

/// Returns the problem of a command whose author has not seen the latest event, with the events since.
fn changed(seen: EventId, latest: Option<EventId>, since: &[Event]) -> ApiError {
    let since: Vec<EventView> = since.iter().map(|event| view::event(event, true)).collect();
    let detail = match since.last() {
        Some(event) => format!("the rollout has changed since event {seen}: {}", event.sentence),
        None => format!("event {seen} is not the latest of the rollout"),
    };
    let expected = latest.map_or_else(|| "no event".to_owned(), |latest| format!("\"{latest}\""));
    ApiError::new(Kind::Changed, detail)
        .field("if-match", &seen.to_string(), &expected)
        .latest(latest.map(|id| ApiEventId::new(id.to_string())))
        .with(|problem| problem.events = since)
}

/// The body of a response to a command: a preview if it was dry.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it documents the two bodies")]
pub(crate) enum CommandResult {
    Done(Box<CommandResponse>),
    Preview(PreviewView),
}

/// The longest time by which a status is late.
const STATUS_DELAY: Duration = Duration::from_secs(1);
