use std::{collections::BTreeMap, fmt, time::Duration};

use canary_core::Weight;
use serde::{Deserialize, Serialize};

use crate::{actor::Actor, serialize, timestamp::Timestamp};

mod reason;

pub use self::reason::{Deadline, PauseReason, PromotionBasis, RollbackReason};

/// Where a rollout is.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// These releases have not been rolled out. The weight is zero.
    Idle,
    /// The plan's `start`: probes and gates before the first call. The weight is zero.
    Starting {
        /// How far it is.
        progress: Progress,
    },
    /// A step of the plan.
    Running {
        /// Which, counted from 0. It is never guessed from the weight.
        step: usize,
        /// How far it is.
        progress: Progress,
    },
    /// The plan stands still; the judge does not.
    Paused {
        /// Where the plan stands.
        stage: Stage,
        /// How far that was.
        progress: Progress,
        /// When it was paused.
        since: Timestamp,
        /// Why.
        reason: PauseReason,
    },
    /// The canary is degraded, and the weight goes down step by step.
    RampingDown {
        /// The weight from which it goes down.
        #[serde(with = "serialize::weight")]
        from: Weight,
        /// Since when.
        since: Timestamp,
        /// The time since then that was seen in ticks.
        #[serde(with = "serialize::span")]
        ticked: Duration,
        /// Why.
        reason: RollbackReason,
    },
    /// All steps are done: the canary serves all calls but the holdback, and is still watched.
    Baking {
        /// How far it is.
        progress: Progress,
        /// On whose word, or which proof.
        basis: PromotionBasis,
    },
    /// The canary serves every call. It is the end of the plan.
    Promoted {
        /// Since when.
        at: Timestamp,
        /// On whose word, or which proof.
        basis: PromotionBasis,
    },
    /// Stable serves every call, until a new start.
    RolledBack {
        /// Since when.
        at: Timestamp,
        /// Why.
        reason: RollbackReason,
    },
    /// Stable serves every call, and nothing can start until the halt is released.
    Halted {
        /// Since when.
        at: Timestamp,
        /// Who halted it.
        by: Actor,
        /// Why.
        reason: String,
    },
}

impl State {
    /// The state without its data.
    #[must_use]
    pub const fn phase(&self) -> Phase {
        match self {
            Self::Idle => Phase::Idle,
            Self::Starting { .. } => Phase::Starting,
            Self::Running { .. } => Phase::Running,
            Self::Paused { .. } => Phase::Paused,
            Self::RampingDown { .. } => Phase::RampingDown,
            Self::Baking { .. } => Phase::Baking,
            Self::Promoted { .. } => Phase::Promoted,
            Self::RolledBack { .. } => Phase::RolledBack,
            Self::Halted { .. } => Phase::Halted,
        }
    }

    /// Where the plan is, or stands still.
    #[must_use]
    pub fn stage(&self) -> Option<Stage> {
        match self {
            Self::Starting { .. } => Some(Stage::Start),
            Self::Running { step, .. } => Some(Stage::Step { step: *step }),
            Self::Paused { stage, .. } => Some(stage.clone()),
            Self::Baking { basis, .. } => Some(Stage::Bake { basis: basis.clone() }),
            _ => None,
        }
    }

    /// How far the stage is.
    #[must_use]
    pub const fn progress(&self) -> Option<&Progress> {
        match self {
            Self::Starting { progress }
            | Self::Running { progress, .. }
            | Self::Paused { progress, .. }
            | Self::Baking { progress, .. } => Some(progress),
            _ => None,
        }
    }

    pub(crate) const fn progress_mut(&mut self) -> Option<&mut Progress> {
        match self {
            Self::Starting { progress }
            | Self::Running { progress, .. }
            | Self::Paused { progress, .. }
            | Self::Baking { progress, .. } => Some(progress),
            _ => None,
        }
    }
}

/// A [`State`] without its data.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
#[expect(missing_docs, reason = "each is the state of the same name")]
pub enum Phase {
    Idle,
    Starting,
    Running,
    Paused,
    RampingDown,
    Baking,
    Promoted,
    RolledBack,
    Halted,
}

impl Phase {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Idle,
        Self::Starting,
        Self::Running,
        Self::Paused,
        Self::RampingDown,
        Self::Baking,
        Self::Promoted,
        Self::RolledBack,
        Self::Halted,
    ];

    /// The phase in words: "ramping down".
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Starting => "starting",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::RampingDown => "ramping down",
            Self::Baking => "baking",
            Self::Promoted => "promoted",
            Self::RolledBack => "rolled back",
            Self::Halted => "halted",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

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
