//! Watches a canary live.

mod app;
mod dialog;
mod draw;
mod keys;
mod once;
mod plain;
mod run;
mod sparkline;
mod terminal;
#[cfg(test)]
mod tests;
mod theme;

use std::io::{self, IsTerminal as _};

use crate::{canary_name, cli::WatchOptions, exit::Exit, failure::Failure, session::Session};

/// Shows the canary on the whole terminal, or prints a line per event if there is none.
pub(crate) async fn watch(session: &Session, options: &WatchOptions) -> Result<Exit, Failure> {
    let name = canary_name::resolve(session, &options.target).await?;
    // Before the view, so that no event is between the two.
    let latest = match session.latest_event(&name).await {
        Ok(latest) => latest,
        Err(error) => return Err(session.explain(&name, error).await),
    };
    let view = session.client.canary(&name).await?;
    if let Some(size) = options.once {
        if session.output.is_json() {
            session.output.json(&view)?;
            return Ok(Exit::Done);
        }
        return once::print(session, view, size).await;
    }
    let is_terminal = io::stdin().is_terminal() && io::stdout().is_terminal();
    if options.plain || session.output.is_json() || !is_terminal {
        return plain::watch(session, &view, latest).await;
    }
    run::watch(session, view).await
}
