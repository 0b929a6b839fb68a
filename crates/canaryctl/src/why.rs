use canary_api::{CanaryView, EventView};
use serde_json::json;

use crate::{
    canary_name,
    cli::{Target, WhyOptions},
    exit::Exit,
    failure::Failure,
    findings,
    output::Output,
    paint::Tone,
    session::Session,
    times::Times,
};

/// Explains an event, or the current state by its latest decision.
pub(crate) async fn why(session: &Session, options: &WhyOptions) -> Result<Exit, Failure> {
    let (target, wanted) = parse(&options.words).map_err(Failure::error)?;
    let name = canary_name::resolve(session, &target).await?;
    let view = match session.client.canary(&name).await {
        Ok(view) => view,
        Err(error) => return Err(session.explain(&name, error).await),
    };
    let events = session.client.events(&name, None, Some(MOST)).await?;
    let event = match wanted {
        Some(wanted) => Some(find(&events, wanted)?),
        // What has no evidence was no decision of the judge.
        None => events.iter().rev().find(|event| !event.evidence.is_empty()),
    };
    let is_current = wanted.is_none();
    if session.output.is_json() {
        let judgment = is_current.then_some(&view.judgment);
        session.output.json(&json!({"event": event, "judgment": judgment}))?;
        return Ok(Exit::Done);
    }
    if is_current {
        session.output.sentence(&format!("{name}: {}", view.summary))?;
    }
    if let Some(event) = event {
        print_event(session.output, event)?;
    }
    if is_current {
        print_judgment(session.output, &view)?
    }
    Ok(Exit::Done)
}

/// Splits `[CANARY] [EVENT]`.
fn parse(words: &[String]) -> Result<(Target, Option<&str>), String> {
    let is_event = |word: &str| {
        let (number, millis) = word.split_once('-').unwrap_or((word, "0"));
        [number, millis].iter().all(|it| !it.is_empty() && it.bytes().all(|it| it.is_ascii_digit()))
    };
    match words {
        [] => Ok((Target::default(), None)),
        [event] if is_event(event) => Ok((Target::default(), Some(event))),
        [canary] => Ok((Target { canary: Some(canary.clone()) }, None)),
        [canary, event, ..] if is_event(event) => {
            Ok((Target { canary: Some(canary.clone()) }, Some(event)))
        }
        [_, event, ..] => Err(format!("event {event:?}: expected an id of canaryctl events")),
    }
}

/// Finds an event by its id or by its number.
fn find<'a>(events: &'a [EventView], wanted: &str) -> Result<&'a EventView, Failure> {
    let number = |id: &str| id.split('-').next().unwrap_or(id).to_owned();
    let matches = |event: &&EventView| {
        let id = event.id.as_ref().map(canary_api::EventId::as_str);
        id.is_some_and(|id| id == wanted || number(id) == wanted)
    };
    events.iter().find(matches).ok_or_else(|| {
        Failure::error(format!("event {wanted:?}: not among the latest {} events", events.len()))
    })
}

fn print_event(output: Output, event: &EventView) -> Result<(), Failure> {
    let paint = output.paint();
    let time = Times::local().full(&event.at);
    output.line(&format!("{time}  {}", paint.paint(Tone::Strong, &event.sentence)))?;
    let verdict = event.verdict.as_str();
    let after = format!("{}, weight {}", event.phase.as_str(), event.weight);
    for (label, text) in [
        ("reason", event.reason.as_str()),
        ("verdict", verdict),
        ("evidence", &event.evidence),
        ("after", &after),
    ] {
        if !text.is_empty() {
            output.text(&format!("  {label:<9} {text}"))?;
        }
    }
    Ok(())
}

fn print_judgment(output: Output, view: &CanaryView) -> Result<(), Failure> {
    output.text(&format!("now: {}", view.judgment.sentence))?;
    for finding in &view.judgment.findings {
        output.text(&format!("  {}: {}", finding.monitor, finding.sentence))?;
    }
    if !view.judgment.sources.is_empty() {
        output.text(&format!("sources: {}", view.judgment.sources))?;
    }
    if !view.judgment.findings.is_empty() {
        output.table(&findings::table(&view.judgment.findings))?;
    }
    Ok(())
}

/// The server stores at least 256 events.
const MOST: u32 = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_told_from_a_canary() {
        for (line, canary, event) in [
            ("", None, None),
            ("shop", Some("shop"), None),
            ("17", None, Some("17")),
            ("17-1795510800000", None, Some("17-1795510800000")),
            ("shop-2 17", Some("shop-2"), Some("17")),
        ] {
            let words: Vec<_> = line.split_whitespace().map(str::to_owned).collect();
            let (target, found) = parse(&words).unwrap();
            assert_eq!((target.canary.as_deref(), found), (canary, event), "{line}");
        }
        assert!(parse(&["shop".to_owned(), "last".to_owned()]).is_err());
    }
}
