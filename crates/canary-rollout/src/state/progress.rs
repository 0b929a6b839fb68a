use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::PromotionBasis;
use crate::{actor::Actor, serialize, timestamp::Timestamp};

/// A part of the plan.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Stage {
    /// Before the first call.
    Start,
    /// A step.
    Step {
        /// Which, counted from 0.
        step: usize,
    },
    /// After the last step.
    Bake {
        /// On whose word, or which proof.
        basis: PromotionBasis,
    },
}

/// How far a stage is.
///
/// Times are counted as [`Rollout`](crate::Rollout#time) says.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct Progress {
    /// Since when the stage's weight is in force; none while the calendar keeps it from rising.
    pub since: Option<Timestamp>,
    /// The time since then that was seen in ticks, pauses aside.
    #[serde(with = "serialize::span")]
    pub ticked: Duration,
    /// The part of the stage's deadline that is used up.
    #[serde(with = "serialize::span")]
    pub waited: Duration,
    /// The canary's calls that ended at the stage's weight, pauses aside.
    pub calls: u64,
    /// The gates that were asked.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub gates: BTreeMap<String, GateState>,
    /// The probes that were run.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub probes: BTreeMap<String, ProbeState>,
}

impl Progress {
    /// How long the stage's weight has been in force: by the wall clock and by what was seen in
    /// ticks, whichever is less.
    #[must_use]
    pub fn time_at_weight(&self, now: Timestamp) -> Duration {
        self.since.map_or(Duration::ZERO, |since| now.since(since).min(self.ticked))
    }
}

/// What is known of a gate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum GateState {
    /// It was asked.
    Asked {
        /// When first.
        since: Timestamp,
        /// The part of its deadline that is used up.
        #[serde(with = "serialize::span")]
        waited: Duration,
        /// The time since it was asked last.
        #[serde(with = "serialize::span")]
        since_ask: Duration,
        /// What it said last, if it was not "open".
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
    },
    /// It is open.
    Open {
        /// Since when.
        at: Timestamp,
        /// Who opened it.
        by: Actor,
    },
}

/// What is known of a probe.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default)]
#[non_exhaustive]
pub struct ProbeState {
    /// So many runs passed in a row.
    pub passes: u32,
    /// So many runs failed in a row.
    pub failures: u32,
    /// The time since it was last run.
    #[serde(with = "serialize::span")]
    pub since_run: Duration,
    /// How it failed last.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub message: String,
}
