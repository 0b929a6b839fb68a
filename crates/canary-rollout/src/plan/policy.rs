use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::serialize;

/// What is done with a canary that the judge, or a probe, finds degraded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnDegraded {
    /// Every call is stable's again, at once.
    #[default]
    RollBack,
    /// The weight goes down to zero in ten equal steps, the first one at once: for a stable whose
    /// caches are cold, or that lacks the capacity.
    RampDown(RampDown),
    /// The weight stays, and a person decides: for a canary that must not be taken back without
    /// thought, say after a migration of data.
    Freeze,
}

/// How fast a ramp goes down.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RampDown {
    /// The time from the decision to weight zero.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub over: Duration,
}

/// What is done at a deadline, when nothing is proven.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum OnInconclusive {
    /// The weight stays, and a person decides.
    #[default]
    Hold,
    /// The canary is rolled back.
    RollBack,
    /// The plan goes on without proof, and in the end promotes without it. A canary that got fewer
    /// calls than the step needs is held nevertheless: no data is no reason to go on.
    Advance,
}
