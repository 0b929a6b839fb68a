use canary_api::CanaryView;

use crate::{events, exit::Exit, failure::Failure, session::Session};

/// Prints the state, and then a line per event.
pub(super) async fn watch(session: &Session, view: &CanaryView) -> Result<Exit, Failure> {
    if !session.output.is_json() {
        session.output.text(&format!("{}: {}", view.name, view.summary))?;
    }
    events::follow_after(session, &view.name, view.latest.clone()).await
}
