use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::serialize;

/// An automated test that runs directly against the canary, before its first live call and
/// repeatedly during steps.
///
/// After [`failure_threshold`](Self::failure_threshold) failures in a row the canary is degraded.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Probe {
    /// The kind of the probe.
    pub kind: ProbeKind,
    /// The interval between runs; 30 seconds by default.
    #[serde(with = "serialize::span", default = "default_every")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub every: Duration,
    /// The time limit of one run; 5 seconds by default. A run that exceeds it fails.
    #[serde(with = "serialize::span", default = "default_timeout")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub timeout: Duration,
    /// The number of failures in a row after which the canary is degraded; 3 by default.
    #[serde(default = "default_failures")]
    pub failure_threshold: u32,
    /// The number of successes in a row after which the probe has passed; 1 by default.
    #[serde(default = "default_successes")]
    pub success_threshold: u32,
}

/// The kind of a [`Probe`].
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProbeKind {
    /// An HTTP request.
    Http(HttpProbe),
    /// A request of the gRPC health protocol.
    GrpcHealth(GrpcHealthProbe),
    /// A function that is registered in code under this name.
    Function(String),
}

/// An HTTP request to the canary.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpProbe {
    /// The method; `GET` by default.
    #[serde(default = "default_method")]
    pub method: String,
    /// The path, optionally with a query, such as "/health".
    pub path: String,
    /// The statuses that count as success; 200 by default.
    #[serde(default = "default_status")]
    pub status: Vec<u16>,
}

/// A request to the canary's `grpc.health.v1.Health`. `SERVING` counts as success.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GrpcHealthProbe {
    /// The service to check; the whole server if empty.
    #[serde(default)]
    pub service: String,
}

const fn default_every() -> Duration {
    Duration::from_secs(30)
}

const fn default_timeout() -> Duration {
    Duration::from_secs(5)
}

const fn default_failures() -> u32 {
    3
}

const fn default_successes() -> u32 {
    1
}

fn default_method() -> String {
    "GET".to_owned()
}

fn default_status() -> Vec<u16> {
    vec![200]
}
