use std::time::Duration;

use canary_api::{
    CanaryView, EventId, EventView, StreamItem,
    client::{Client, EventStream},
};
use futures_util::StreamExt as _;
use tokio::time::{Instant, sleep_until};

use crate::failure::Failure;

/// Follows a canary, also over restarts of its server.
#[derive(Debug)]
pub(crate) struct Follower {
    client: Client,
    name: String,
    stream: EventStream,
    last: Option<EventId>,
    /// Whether the server has had the canary. If so, it is expected to come back.
    has_been_live: bool,
    /// When the stream is opened again, after it has ended.
    again_at: Option<Instant>,
}

/// An update of a followed canary.
#[derive(Debug)]
pub(crate) enum Update {
    /// A new event. Each comes once and in order.
    Event(Box<EventView>),
    /// The state, about once per second.
    View(Box<CanaryView>),
    /// Some events were lost, because they are no longer stored.
    Reset,
    /// The connection was lost, for this reason. It will be opened again.
    NotLive(String),
}

impl Follower {
    /// Follows a canary from after this event.
    pub(crate) fn new(client: Client, name: &str, after: Option<EventId>) -> Self {
        let stream = client.stream(name, after.clone());
        let name = name.to_owned();
        Self { client, name, stream, last: after, has_been_live: false, again_at: None }
    }

    /// Returns the next update. It can be dropped at any time, and called again.
    ///
    /// # Errors
    ///
    /// Returns an error that waiting does not repair, such as a wrong token or a wrong name.
    pub(crate) async fn next(&mut self) -> Result<Update, Failure> {
        if let Some(at) = self.again_at {
            sleep_until(at).await;
            self.again_at = None;
            self.stream = self.client.stream(&self.name, self.last.clone());
        }
        match self.stream.next().await {
            Some(Ok(StreamItem::Event(event))) => {
                self.has_been_live = true;
                self.last = event.id.clone().or_else(|| self.last.take());
                Ok(Update::Event(event))
            }
            Some(Ok(StreamItem::View(view))) => {
                self.has_been_live = true;
                Ok(Update::View(view))
            }
            Some(Ok(StreamItem::Reset)) => {
                self.last = None;
                Ok(Update::Reset)
            }
            Some(Err(error)) if error.is_transient() => Ok(Update::NotLive(error.to_string())),
            // A server that restarts has its canaries a little later than its port.
            Some(Err(error)) if self.has_been_live && is_not_found(&error) => {
                Ok(self.pause(error.to_string()))
            }
            Some(Err(error)) => Err(error.into()),
            Some(Ok(_)) | None => Ok(self.pause(format!("{} is not managed any more", self.name))),
        }
    }

    /// Opens the connection again, for example to reach another replica.
    pub(crate) fn reconnect(&mut self) {
        self.stream = self.client.stream(&self.name, self.last.clone());
    }

    fn pause(&mut self, reason: String) -> Update {
        self.again_at = Some(Instant::now() + Duration::from_secs(1));
        Update::NotLive(reason)
    }
}

fn is_not_found(error: &canary_api::client::ClientError) -> bool {
    error.problem().is_some_and(|problem| problem.status == 404)
}
