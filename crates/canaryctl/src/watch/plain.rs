use canary_api::{CanaryView, EventId};

use crate::{events, exit::Exit, failure::Failure, session::Session};

/// Prints the state, and then a line per event after this one.
pub(super) async fn watch(
    session: &Session,
    view: &CanaryView,
    latest: Option<EventId>,
) -> Result<Exit, Failure> {
    if !session.output.is_json() {
        session.output.sentence(&format!("{}: {}", view.name, view.summary))?;
    }
    events::follow_after(session, &view.name, latest).await
}
