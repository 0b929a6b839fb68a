use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::serialize;

/// An automated test of the canary, run against the canary service itself: before its first live
/// call, and again and again while a step lasts.
///
/// A probe that fails as often as [`failure_threshold`](Self::failure_threshold) says makes the canary degraded.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Probe {
    /// What is run.
    pub kind: ProbeKind,
    /// How often: every 30 seconds unless told otherwise.
    #[serde(with = "serialize::span", default = "default_every")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub every: Duration,
    /// How long one run may take: 5 seconds unless told otherwise. A run that takes longer has
    /// failed.
    #[serde(with = "serialize::span", default = "default_timeout")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub timeout: Duration,
    /// So many runs must fail in a row before the canary is degraded: 3 unless told otherwise.
    #[serde(default = "default_failures")]
    pub failure_threshold: u32,
    /// So many runs must pass in a row before the probe has passed: 1 unless told otherwise.
    #[serde(default = "default_successes")]
    pub success_threshold: u32,
}

/// What a [`Probe`] runs.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ProbeKind {
    /// An HTTP request.
    Http(HttpProbe),
    /// gRPC's health protocol.
    GrpcHealth(GrpcHealthProbe),
    /// A function that was registered in code under this name.
    Function(String),
}

/// An HTTP request to the canary.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HttpProbe {
    /// The method: `GET` unless told otherwise.
    #[serde(default = "default_method")]
    pub method: String,
    /// The path, with a query if there is one: "/health".
    pub path: String,
    /// The statuses that pass: 200 unless told otherwise.
    #[serde(default = "default_status")]
    pub status: Vec<u16>,
}

/// A question to the canary's `grpc.health.v1.Health`. `SERVING` passes.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct GrpcHealthProbe {
    /// The service that is asked about: the whole server, if empty.
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
