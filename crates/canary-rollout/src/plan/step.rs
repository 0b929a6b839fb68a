use std::time::Duration;

use canary_core::Weight;
use serde::{Deserialize, Serialize};

use crate::serialize;

/// One step of a [`Plan`](crate::Plan): a weight, and what must have been seen at it before the
/// weight may rise.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The share of calls that is asked of the canary.
    #[serde(with = "serialize::weight")]
    pub weight: Weight,
    /// The weight is kept for at least this long.
    #[serde(with = "serialize::span")]
    pub min_duration: Duration,
    /// The weight is kept until the canary has ended at least so many calls at it; never 0, since
    /// no data is no reason to go on.
    pub min_calls: u64,
    /// The step may wait this long for all of that, gates and pauses aside.
    #[serde(with = "serialize::span")]
    pub deadline: Duration,
    /// Whether the step waits for proof.
    pub advance_when: AdvanceWhen,
    /// The gates that are asked when all else is met, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// The probes that run while the step lasts, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
}

/// When a step's time and calls are enough to go on.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdvanceWhen {
    /// Unless the judge says that the canary is degraded.
    #[default]
    NotDegraded,
    /// When the judge says that the canary is healthy. Promotion always waits for that.
    Healthy,
}

/// Before the first call: what must be well before the canary serves anybody.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Start {
    /// The gates that are asked once the probes have passed, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// The probes that must pass before the first live call, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
}

impl Start {
    pub(crate) const fn is_empty(&self) -> bool {
        self.gates.is_empty() && self.probes.is_empty()
    }
}

/// After the last step: the canary serves all calls but a few, and is still watched.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Bake {
    /// How long.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub duration: Duration,
    /// The share of calls that stable keeps, so that there is something to compare with; 1% unless
    /// told otherwise.
    #[serde(with = "serialize::weight", default = "default_holdback")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub holdback: Weight,
    /// How long the bake may wait for the time, and for the proof at its end: a day unless told
    /// otherwise.
    #[serde(with = "serialize::span", default = "default_deadline")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub deadline: Duration,
    /// The probes that run meanwhile, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
}

const fn default_holdback() -> Weight {
    Weight::from_percent(1)
}

const fn default_deadline() -> Duration {
    Duration::from_secs(86_400)
}
