use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    canary::{CanaryView, Phase},
    finding::Verdict,
};

/// The id of an event, such as `17-1795510800000`. No other event of the canary ever gets the same
/// id.
///
/// A client keeps it as it is: to resume a stream, and as the `If-Match` header of a command.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// Creates an id from its text. The server checks it.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Returns the text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// An event in the history of a canary.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventView {
    /// The id; `None` while the event is in force but not stored yet, because its number can still
    /// change.
    pub id: Option<EventId>,
    /// The time.
    pub at: String,
    /// The cause.
    pub by: Actor,
    /// The kind, such as `step_begun`.
    pub kind: String,
    /// The cause and the kind in words, such as "ada set the weight".
    pub sentence: String,
    /// The reason; it may be empty.
    pub reason: String,
    /// The judge's verdict at that time.
    pub verdict: Verdict,
    /// The evidence for the verdict in one sentence; empty for events that do not depend on it.
    pub evidence: String,
    /// The phase afterwards.
    pub phase: Phase,
    /// The weight afterwards.
    pub weight: String,
}

/// The cause of an event.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Actor {
    /// The kind of the cause.
    pub kind: ActorKind,
    /// The name in sentences, such as "the judge" or "ada".
    pub name: String,
}

/// The kind of an [`Actor`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "each variant is the actor of the same name in canary-rollout")]
pub enum ActorKind {
    Plan,
    Judge,
    Store,
    Probe,
    Gate,
    Person,
    Program,
    #[serde(other)]
    Unknown,
}

/// An item of the stream of a canary.
///
/// The name of the server-sent event is the variant in lower case, and its data is the content as
/// JSON. Only an `event` has an id, so that `Last-Event-ID` resumes after it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum StreamItem {
    /// A stored event, each once and in order.
    Event(Box<EventView>),
    /// The state of the canary, about once per second.
    View(Box<CanaryView>),
    /// The events between the client's last one and the next are no longer stored.
    Reset,
    /// The canary is no longer managed. The stream ends.
    Gone,
}
