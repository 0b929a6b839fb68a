use canary_api::{
    EventId,
    client::{Client, ClientError},
};

use crate::{cli::Connection, context, failure::Failure, output::Output};

/// The connection to the server, and the output.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) output: Output,
}

impl Session {
    pub(crate) fn new(connection: &Connection) -> Result<Self, Failure> {
        let output = Output::new(connection.output);
        Ok(Self { client: context::client(connection)?, output })
    }

    /// Returns the latest stored event of a canary. A view can be a little older.
    pub(crate) async fn latest_event(&self, canary: &str) -> Result<Option<EventId>, ClientError> {
        let events = self.client.events(canary, None, Some(1)).await?;
        Ok(events.into_iter().next_back().and_then(|event| event.id))
    }

    /// Adds the names of the canaries to a failure, if there is no canary of this name.
    pub(crate) async fn explain(&self, canary: &str, error: ClientError) -> Failure {
        let is_unknown = error.problem().is_some_and(|problem| problem.status == 404);
        let failure = Failure::from(error);
        if !is_unknown {
            return failure;
        }
        match self.client.canaries().await {
            Ok(views) if views.iter().all(|view| view.name != canary) => {
                let names: Vec<_> = views.iter().map(|view| view.name.as_str()).collect();
                failure.detail(format!("canaries of the server: {}", names.join(", ")))
            }
            _ => failure,
        }
    }
}
