use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::serialize;

/// Somebody, or something, that must agree before the rollout goes on.
///
/// The judge keeps working while a gate waits.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Gate {
    /// Who is asked.
    pub kind: GateKind,
    /// How long an answer may take: a day unless told otherwise.
    #[serde(with = "serialize::span", default = "default_deadline")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub deadline: Duration,
    /// How often it is asked again while it says "not yet": every 30 seconds unless told otherwise.
    /// A person is asked once.
    #[serde(with = "serialize::span", default = "default_every")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub every: Duration,
    /// What is done when the deadline is over.
    #[serde(default)]
    pub on_rejected: OnRejected,
}

/// Who opens a [`Gate`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateKind {
    /// A person, described by this text: "release managers".
    Approval(String),
    /// A service.
    Webhook(Webhook),
    /// A function that was registered in code under this name.
    Function(String),
}

/// What is done with a gate that never answers, or says no.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnRejected {
    /// The weight stays, and a person decides.
    #[default]
    Hold,
    /// The canary is rolled back.
    RollBack,
}

/// A service that is told by `POST`, with a JSON body.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Webhook {
    /// Where: an `http` or `https` URL.
    pub url: String,
    /// How long one request may take: 10 seconds unless told otherwise.
    #[serde(with = "serialize::span", default = "default_timeout")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub timeout: Duration,
    /// How often a request that failed is repeated, with growing pauses: 3 times unless told
    /// otherwise.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// The environment variable that holds the secret with which bodies are signed. The secret
    /// itself has no place in a plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_env: Option<String>,
}

/// Somebody who is told what happens.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NotifyTarget {
    /// Where.
    pub webhook: Webhook,
    /// How the body looks.
    #[serde(default)]
    pub format: NotifyFormat,
    /// Which events are told, by name, such as "rolled_back": all of them, if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

/// The form of a [`NotifyTarget`].
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum NotifyFormat {
    /// The event as JSON.
    #[default]
    Json,
    /// A text, as Slack and its kin take it.
    Slack,
}

const fn default_deadline() -> Duration {
    Duration::from_secs(86_400)
}

const fn default_every() -> Duration {
    Duration::from_secs(30)
}

const fn default_timeout() -> Duration {
    Duration::from_secs(10)
}

const fn default_retries() -> u32 {
    3
}
