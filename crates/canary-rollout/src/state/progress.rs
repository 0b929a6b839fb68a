use std::{collections::BTreeMap, ops::Not, time::Duration};

use serde::{Deserialize, Serialize};

use super::PromotionBasis;
use crate::{actor::Actor, serialize, timestamp::Timestamp};

/// A stage of the plan.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// The plan's `start`, before the first canary call.
    Start,
    /// A step.
    Step {
        /// The index of the step, from 0.
        step: usize,
    },
    /// The bake, after the last step.
    Bake {
        /// The basis of the promotion.
        basis: PromotionBasis,
    },
}

/// The progress of a [`Stage`]. [`Rollout`](crate::Rollout#time) explains how time is counted.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Progress {
    /// The time at which the stage's weight came into force; `None` while the calendar is closed.
    pub since: Option<Timestamp>,
    /// The time since then as counted by ticks, without pauses.
    #[serde(with = "serialize::span")]
    pub ticked: Duration,
    /// The time that counts against the stage's deadline: without gates and pauses.
    #[serde(with = "serialize::span")]
    pub waited: Duration,
    /// Whether the stage has met its conditions while the calendar was closed. It stays, because it
    /// must meet them when the calendar opens.
    #[serde(skip_serializing_if = "Not::not")]
    pub is_delayed: bool,
    /// Canary calls that ended at the stage's weight, without those during pauses.
    pub calls: u64,
    /// The reason for which a step at 100% gives the canary all calls. It is the basis of the promotion
    /// that follows. `None` in other stages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub basis: Option<PromotionBasis>,
    /// The gates that were asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gates: BTreeMap<String, GateState>,
    /// The probes that were run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub probes: BTreeMap<String, ProbeState>,
}

impl Progress {
    /// Returns the time for which the stage's weight has been in force: the lesser of the
    /// wall-clock time and the time counted by ticks.
    #[must_use]
    pub fn time_at_weight(&self, now: Timestamp) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.since(since).min(self.ticked))
    }
}

/// The state of a gate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateState {
    /// The gate was asked and has not opened.
    Asked {
        /// The time of the first question.
        since: Timestamp,
        /// The time that counts against the gate's deadline.
        #[serde(with = "serialize::span")]
        waited: Duration,
        /// The time since the latest question.
        #[serde(with = "serialize::span")]
        since_ask: Duration,
        /// The reason of the latest "not yet"; it may be empty.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    },
    /// The gate is open.
    Open {
        /// The time at which it opened.
        at: Timestamp,
        /// The actor that opened it.
        by: Actor,
    },
}

/// The state of a probe.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ProbeState {
    /// The number of runs that passed in a row.
    pub passes: u32,
    /// The number of runs that failed in a row.
    pub failures: u32,
    /// The time since the latest run began.
    #[serde(with = "serialize::span")]
    pub since_run: Duration,
    /// The latest failure.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}
