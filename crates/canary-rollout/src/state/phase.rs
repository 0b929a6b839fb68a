use std::{fmt, time::Duration};

use canary_core::Weight;
use serde::{Deserialize, Serialize};

use super::{PauseReason, Progress, PromotionBasis, RollbackReason, Stage};
use crate::{actor::Actor, serialize, timestamp::Timestamp};

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
