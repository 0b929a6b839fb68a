use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::redact::origin;
use crate::serialize;

/// A person, service or function that must agree before the rollout continues.
///
/// The canary is judged while a gate waits.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Gate {
    /// The kind of the gate.
    pub kind: GateKind,
    /// The deadline for an answer; a day by default, and "none" for no deadline.
    #[serde(with = "serialize::limit", default = "default_deadline")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::TimeLimit"))]
    pub deadline: Option<Duration>,
    /// The interval between questions while the answer is "not yet"; 30 seconds by default. An
    /// approval is requested once.
    #[serde(with = "serialize::span", default = "default_every")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub every: Duration,
    /// The reaction to a rejection, or to a missing answer at the deadline.
    #[serde(default)]
    pub on_rejected: OnRejected,
}

/// The kind of a [`Gate`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateKind {
    /// An approval by people, described by a text such as "release managers".
    Approval(String),
    /// A service that is asked by a webhook.
    Webhook(Webhook),
    /// A function that is registered in code under this name.
    Function(String),
}

/// The reaction to a gate that rejects, or does not answer before its deadline.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnRejected {
    /// The rollout pauses until an operator decides.
    #[default]
    Hold,
    /// The canary is rolled back.
    RollBack,
}

/// The receiver of a `POST` request with a JSON body.
///
/// Its debug form hides the path and the query of the URL, because they may be secret. Its serialized
/// form has them.
#[derive(Clone, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Webhook {
    /// The `http` or `https` URL. Its path and query may be secret.
    pub url: String,
    /// The time limit of one request; 10 seconds by default.
    #[serde(with = "serialize::span", default = "default_timeout")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub timeout: Duration,
    /// The number of retries of a failed request, with growing pauses; 3 by default.
    #[serde(default = "default_retries")]
    pub retries: u32,
    /// The environment variable with the secret that signs requests. Its name begins with `CANARY_`,
    /// unless the code that sends the requests allows others. Plans never contain secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_env: Option<String>,
    /// Further headers of the requests: their names, and the environment variables with their values,
    /// to which the rules of `secret_env` apply.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers_env: BTreeMap<String, String>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { url, timeout, retries, secret_env, headers_env } = self;
        f.debug_struct("Webhook")
            .field("url", &origin(url))
            .field("timeout", timeout)
            .field("retries", retries)
            .field("secret_env", secret_env)
            .field("headers_env", headers_env)
            .finish()
    }
}

/// A receiver of notifications.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NotifyTarget {
    /// The webhook.
    pub webhook: Webhook,
    /// The format of the body.
    #[serde(default)]
    pub format: NotifyFormat,
    /// The names of the events to send, such as "rolled_back"; all events if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<String>,
}

/// The format of notifications to a [`NotifyTarget`].
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[expect(clippy::exhaustive_enums, reason = "a sender must know every format")]
pub enum NotifyFormat {
    /// The event as JSON.
    #[default]
    Json,
    /// A text for Slack and compatible services.
    Slack,
    /// An Adaptive Card for Microsoft Teams.
    Teams,
    /// A text for Discord.
    Discord,
}

const fn default_deadline() -> Option<Duration> {
    Some(Duration::from_secs(86_400))
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
