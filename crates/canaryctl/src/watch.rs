//! Watches a canary live.

mod plain;

use crate::{canary_name, cli::WatchOptions, exit::Exit, failure::Failure, session::Session};

/// Prints a line per event.
pub(crate) async fn watch(session: &Session, options: &WatchOptions) -> Result<Exit, Failure> {
    let name = canary_name::resolve(session, &options.target).await?;
    let view = match session.client.canary(&name).await {
        Ok(view) => view,
        Err(error) => return Err(session.explain(&name, error).await),
    };
    plain::watch(session, &view).await
}
