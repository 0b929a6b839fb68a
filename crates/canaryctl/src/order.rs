use canary_api::{
    Command, CommandName, CommandRequest, CommandResponse, EventId, PreviewView,
    client::ClientError,
};

use crate::{
    canary_name,
    cli::{How, Target},
    confirm::confirm,
    exit::Exit,
    failure::{Failure, event_line},
    output::{self, Output},
    session::Session,
};

/// Gives a command.
///
/// Commands that take calls away from the canary are carried out at once. All others show their
/// effect first, and ask if it is that the canary gets more calls, a gate opens, or evidence is
/// discarded.
pub(crate) async fn give(
    session: &Session,
    target: &Target,
    command: Command,
    how: &How,
) -> Result<Exit, Failure> {
    let name = canary_name::resolve(session, target).await?;
    let request = CommandRequest::new(command, how.reason.clone());
    let response = if how.dry_run {
        let preview = preview(session, &name, &request).await?;
        return print_preview(session.output, &preview);
    } else if matches!(request.command.name(), CommandName::RollBack | CommandName::Halt) {
        send(session, &name, &request, how.latest(), None).await
    } else {
        // First the event and then the preview: if the rollout changes in between, the server refuses.
        let latest = match session.latest_event(&name).await {
            Ok(latest) => latest,
            Err(error) => return Err(session.explain(&name, error).await),
        };
        let preview = preview(session, &name, &request).await?;
        if is_dangerous(&request.command, &preview) && !how.yes {
            confirm(&format!("{} {name}", request.command.name()), &preview.effect)?;
        }
        let seen = how.latest().or_else(|| latest.clone().filter(|_| preview.needs_latest));
        send(session, &name, &request, seen, latest).await
    };
    match response {
        Ok(response) => print(session.output, &name, &response),
        Err(error) => Err(session.explain(&name, error).await),
    }
}

async fn preview(
    session: &Session,
    name: &str,
    request: &CommandRequest,
) -> Result<PreviewView, Failure> {
    match session.client.preview(name, request).await {
        Ok(preview) => Ok(preview),
        Err(error) => Err(session.explain(name, error).await),
    }
}

/// Returns whether the canary gets more calls, a gate opens, or evidence is discarded.
fn is_dangerous(command: &Command, preview: &PreviewView) -> bool {
    let percent = |weight: &str| weight.trim_end_matches('%').parse().unwrap_or(f64::INFINITY);
    let sets_variables = matches!(command, Command::SetVariables { .. });
    (preview.needs_latest && !sets_variables)
        || preview.discards_evidence
        || percent(&preview.to) > percent(&preview.from)
}

/// Sends a command. If the response is lost, sends it again on the condition that nothing has happened
/// since, which tells whether the first one was carried out.
async fn send(
    session: &Session,
    name: &str,
    request: &CommandRequest,
    seen: Option<EventId>,
    latest: Option<EventId>,
) -> Result<CommandResponse, ClientError> {
    let error = match session.client.command(name, request, seen.as_ref()).await {
        Err(error) if error.is_outcome_unknown() => error,
        result => return result,
    };
    // A rollback or a halt changes nothing the second time.
    let is_idempotent = matches!(request.command.name(), CommandName::RollBack | CommandName::Halt);
    if latest.is_none() && !is_idempotent {
        return Err(error);
    }
    output::note(&format!("{error}; asking again"));
    let again = session.client.command(name, request, seen.or(latest).as_ref()).await;
    match again {
        Err(ClientError::Problem(problem)) if problem.already_done => {
            let canary = session.client.canary(name).await?;
            Ok(CommandResponse { note: None, events: problem.events, canary })
        }
        result => result,
    }
}

fn print_preview(output: Output, preview: &PreviewView) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(preview)?;
    } else {
        output.sentence(&preview.effect)?;
    }
    Ok(Exit::Done)
}

fn print(output: Output, name: &str, response: &CommandResponse) -> Result<Exit, Failure> {
    if output.is_json() {
        output.json(response)?;
        return Ok(Exit::Done);
    }
    for event in &response.events {
        output.text(&event_line(event))?;
        if event.id.is_none() {
            output::note("warning: it is in force, and not stored yet");
        }
    }
    if let Some(note) = &response.note {
        let is_without_effect = response.events.is_empty();
        let prefix = if is_without_effect { "nothing has changed: " } else { "" };
        output.sentence(&format!("{prefix}{note}"))?;
    }
    output.sentence(&format!("{name}: {}", response.canary.summary))?;
    Ok(Exit::Done)
}
