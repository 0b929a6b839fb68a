use canary_api::{EventId, EventView};

use crate::{
    canary_name,
    cli::EventsOptions,
    exit::Exit,
    failure::Failure,
    follower::{Follower, Update},
    output::{self, Output},
    paint::Tone,
    session::Session,
    times::Times,
};

/// Prints the history, and goes on if that is wanted.
pub(crate) async fn run(session: &Session, options: &EventsOptions) -> Result<Exit, Failure> {
    let EventsOptions { target, follow, after, most } = options;
    let name = canary_name::resolve(session, target).await?;
    let after = after.as_ref().map(|id| EventId::new(id.clone()));
    let events = match session.client.events(&name, after.as_ref(), Some(*most)).await {
        Ok(events) => events,
        Err(error) => return Err(session.explain(&name, error).await),
    };
    if !*follow {
        print_all(session.output, &events)?;
        return Ok(Exit::Done);
    }
    events.iter().try_for_each(|event| print_next(session.output, event))?;
    let last = events.iter().rev().find_map(|event| event.id.clone()).or(after);
    follow_after(session, &name, last).await
}

fn print_all(output: Output, events: &[EventView]) -> Result<(), Failure> {
    if output.is_json() {
        return output.json(&events);
    }
    events.iter().try_for_each(|event| print_next(output, event))
}

/// Prints an event in a way that others can follow.
pub(crate) fn print_next(output: Output, event: &EventView) -> Result<(), Failure> {
    if output.is_json() { output.json_line(event) } else { output.line(&line(output, event)) }
}

fn line(output: Output, event: &EventView) -> String {
    let paint = output.paint();
    let reason =
        if event.reason.is_empty() { String::new() } else { format!(": {}", event.reason) };
    let id = event.id.as_ref().map_or("not stored", EventId::as_str);
    let sentence = format!("{}{reason}", event.sentence);
    let after = format!("[{}, {}; {id}]", event.phase.as_str(), event.weight);
    format!(
        "{}  {}  {}",
        paint.plain(&Times::local().full(&event.at)),
        paint.plain(&sentence),
        paint.paint(Tone::Dim, &after),
    )
}

/// Prints the events after this one as they happen, until the process is stopped.
pub(crate) async fn follow_after(
    session: &Session,
    name: &str,
    after: Option<EventId>,
) -> Result<Exit, Failure> {
    let mut follower = Follower::new(session.client.clone(), name, after);
    let mut is_live = true;
    loop {
        let update = follower.next().await?;
        let was_live = std::mem::replace(&mut is_live, !matches!(update, Update::NotLive(_)));
        if is_live && !was_live {
            output::note("live again");
        }
        match update {
            Update::Event(event) => print_next(session.output, &event)?,
            Update::View(_) => {}
            Update::Reset => output::note("some events are no longer stored"),
            Update::NotLive(reason) if was_live => output::note(&format!("not live: {reason}")),
            Update::NotLive(_) => {}
        }
    }
}
