use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::serialize;

/// The reaction to a canary that the judge or a probe finds degraded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnDegraded {
    /// Sends all calls to stable at once.
    #[default]
    RollBack,
    /// Lowers the weight to zero in ten equal steps, the first one at once. Use it if stable has
    /// cold caches or needs time to scale up.
    RampDown(RampDown),
    /// Keeps the weight until an operator decides. Use it if a rollback can do harm, for example
    /// after a data migration.
    Freeze,
    /// Records it as an event, and changes nothing. Only a plan by hand can have this reaction, and it
    /// is its default.
    Report,
}

/// The duration of a ramp.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RampDown {
    /// The time until the weight is zero.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub over: Duration,
}

/// The reaction to a deadline that passes before the conditions are met.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnInconclusive {
    /// Pauses until an operator decides.
    #[default]
    Hold,
    /// Rolls back. Pauses instead if the canary had no calls at all.
    RollBack,
    /// Advances, and finally promotes, without proof that the canary is healthy. Pauses instead if
    /// calls or probes are missing.
    Advance,
}
