use std::time::Duration;

use canary_core::Weight;
use serde::{Deserialize, Serialize};

use crate::serialize;

/// A step of a [`Plan`](crate::Plan): a weight, and the conditions for leaving it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Step {
    /// The weight of the canary.
    #[serde(with = "serialize::weight")]
    pub weight: Weight,
    /// The minimum time at this weight; 0s by default.
    #[serde(with = "serialize::span", skip_serializing_if = "Duration::is_zero")]
    pub min_duration: Duration,
    /// The minimum number of canary calls that end at this weight; at least 1, and 100 by default. 0 in
    /// a step at 0%.
    #[serde(skip_serializing_if = "are_default_calls")]
    pub min_calls: u64,
    /// The time limit for the conditions of the step; a day by default, and `None` if there is none.
    /// The time of gates and pauses does not count.
    #[serde(with = "serialize::limit", skip_serializing_if = "is_default_deadline")]
    pub deadline: Option<Duration>,
    /// The verdict that the step requires; any but "degraded" by default.
    #[serde(skip_serializing_if = "AdvanceWhen::is_default")]
    pub advance_when: AdvanceWhen,
    /// The time at this weight after which the step no longer requires the verdict "healthy"; `None`
    /// by default.
    #[serde(with = "serialize::maybe_span", skip_serializing_if = "Option::is_none")]
    pub without_proof_after: Option<Duration>,
    /// The gates that are asked when all other conditions are met, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// The probes that run during the step, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
}

/// The verdict that a step requires before it advances.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum AdvanceWhen {
    /// Any verdict except "degraded".
    #[default]
    NotDegraded,
    /// "Healthy". The promotion always requires this.
    Healthy,
}

impl AdvanceWhen {
    fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The conditions for the first canary call.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Start {
    /// The gates that are asked after the probes have passed, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gates: Vec<String>,
    /// The probes that must pass, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
}

impl Start {
    pub(crate) const fn is_empty(&self) -> bool {
        self.gates.is_empty() && self.probes.is_empty()
    }
}

/// The phase after the last step, in which the canary serves all calls except the holdback.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Bake {
    /// The minimum duration.
    #[serde(with = "serialize::span")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Span"))]
    pub duration: Duration,
    /// The share of calls that stable keeps for comparison; 1% by default.
    #[serde(with = "serialize::weight", default = "default_holdback")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::Percent"))]
    pub holdback: Weight,
    /// The deadline for the duration and for the proof at its end; a day by default, and "none" for
    /// no deadline.
    #[serde(with = "serialize::limit", default = "default_deadline")]
    #[cfg_attr(test, schemars(with = "crate::plan::schema::TimeLimit"))]
    pub deadline: Option<Duration>,
    /// The time in the bake after which it no longer requires the verdict "healthy"; by default that of
    /// the plan.
    #[serde(default, with = "serialize::maybe_span", skip_serializing_if = "Option::is_none")]
    #[cfg_attr(test, schemars(with = "Option<crate::plan::schema::Span>"))]
    pub without_proof_after: Option<Duration>,
    /// The probes that run during the bake, by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub probes: Vec<String>,
}

/// A step at 0% has no calls, and all others have some.
const fn are_default_calls(calls: &u64) -> bool {
    matches!(*calls, 0 | DEFAULT_CALLS)
}

fn is_default_deadline(deadline: &Option<Duration>) -> bool {
    *deadline == default_deadline()
}

const fn default_holdback() -> Weight {
    Weight::from_percent(1)
}

const fn default_deadline() -> Option<Duration> {
    Some(DEFAULT_DEADLINE)
}

/// Long enough for a service with a call per minute at 10%.
pub(super) const DEFAULT_DEADLINE: Duration = Duration::from_secs(86_400);

/// A canary that fails one call in 20 shows a failure within 100 calls with a probability of 99%.
pub(super) const DEFAULT_CALLS: u64 = 100;

/// The maximum number of steps, so that the plan fits into a stored document.
pub(super) const MAX_STEPS: usize = 100;
