//! Waits until a rollout has reached a state, for scripts.

mod goal;
mod waiting;

use canary_api::{CanaryView, EventId, client::ClientError};
use serde_json::json;
use tokio::time::{Duration, Instant, sleep_until, timeout_at};

use self::{goal::Outcome, waiting::Waiting};
use crate::{
    canary_name,
    cli::WaitOptions,
    exit::Exit,
    failure::{Failure, event_line},
    follower::{Follower, Update},
    output,
    session::Session,
};

/// Waits, prints the events on the way, and returns the exit status of the outcome.
pub(crate) async fn wait(session: &Session, options: &WaitOptions) -> Result<Exit, Failure> {
    let deadline = options.timeout.map(|timeout| Instant::now() + timeout);
    let mut waiting = Waiting::new(options.goal, options.release.clone());
    let outcome = match deadline {
        Some(deadline) => {
            match timeout_at(deadline, follow(session, options, &mut waiting)).await {
                Ok(outcome) => outcome?,
                Err(_) => waiting.time_is_over(),
            }
        }
        None => follow(session, options, &mut waiting).await?,
    };
    print(session, &outcome, waiting.latest())
}

async fn follow(
    session: &Session,
    options: &WaitOptions,
    waiting: &mut Waiting,
) -> Result<Outcome, Failure> {
    let (name, after, view) = first_view(session, options).await?;
    if let Some(outcome) = waiting.see(view) {
        return Ok(outcome);
    }
    output::note(&waiting.describe());
    let mut follower = Follower::new(session.client.clone(), &name, after);
    let mut is_live = true;
    // Behind a load balancer, another replica can have the release already.
    let mut other_replica_at = Instant::now() + OTHER_REPLICA_AFTER;
    loop {
        let update = tokio::select! {
            update = follower.next() => update?,
            () = sleep_until(other_replica_at), if !waiting.has_release() => {
                follower.reconnect();
                other_replica_at = Instant::now() + OTHER_REPLICA_AFTER;
                continue;
            }
        };
        let was_live = std::mem::replace(&mut is_live, !matches!(update, Update::NotLive(_)));
        if is_live && !was_live {
            output::note("live again");
        }
        let outcome = match update {
            Update::View(view) => waiting.see(view),
            Update::Event(event) => {
                if !session.output.is_json() && !waiting.is_replay() {
                    session.output.text(&event_line(&event))?;
                }
                waiting.hear(&event)
            }
            Update::Reset => {
                waiting.reset();
                output::note("some events are no longer stored");
                None
            }
            Update::NotLive(reason) => {
                if was_live {
                    output::note(&format!("not live: {reason}"));
                }
                None
            }
        };
        if let Some(outcome) = outcome {
            return Ok(outcome);
        }
    }
}

/// Returns the canary as soon as the server has it. A server that is just being deployed may be away,
/// and may have no canary yet. The event is the latest one before the view.
async fn first_view(
    session: &Session,
    options: &WaitOptions,
) -> Result<(String, Option<EventId>, Box<CanaryView>), Failure> {
    let mut is_noted = false;
    loop {
        let reason = match find(session, options).await {
            Ok(Found::View(name, latest, view)) => return Ok((name, latest, view)),
            Ok(Found::NoneYet) => "the server has no canary yet".to_owned(),
            Ok(Found::Failure(failure)) => return Err(failure),
            Err(error) if error.is_transient() => error.to_string(),
            Err(error) => return Err(error.into()),
        };
        if !std::mem::replace(&mut is_noted, true) {
            output::note(&format!("{reason}; trying again"));
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
}

enum Found {
    View(String, Option<EventId>, Box<CanaryView>),
    NoneYet,
    Failure(Failure),
}

async fn find(session: &Session, options: &WaitOptions) -> Result<Found, ClientError> {
    let views = session.client.canaries().await?;
    let names: Vec<_> = views.into_iter().map(|view| view.name).collect();
    let name = match (&options.target.canary, names.as_slice()) {
        (_, []) => return Ok(Found::NoneYet),
        (Some(name), names) if names.contains(name) => name,
        (None, [name]) => name,
        (None, names) => return Ok(Found::Failure(canary_name::several(names))),
        (Some(name), names) => {
            let expected = names.join(" or ");
            let failure = Failure::error(format!("canary {name:?}: expected {expected}"));
            return Ok(Found::Failure(failure));
        }
    };
    let latest = session.latest_event(name).await?;
    let view = session.client.canary(name).await?;
    Ok(Found::View(name.clone(), latest, Box::new(view)))
}

fn print(
    session: &Session,
    outcome: &Outcome,
    latest: Option<&CanaryView>,
) -> Result<Exit, Failure> {
    let exit = outcome.exit();
    if session.output.is_json() {
        session.output.json(&json!({
            "outcome": outcome.name(),
            "exit": exit.status(),
            "message": outcome.message(),
            "canary": latest,
        }))?;
    } else {
        session.output.sentence(outcome.message())?;
    }
    Ok(exit)
}

const OTHER_REPLICA_AFTER: Duration = Duration::from_secs(10);
