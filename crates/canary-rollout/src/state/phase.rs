use std::{fmt, time::Duration};

use canary_core::Weight;
use serde::{Deserialize, Serialize};

use super::{PauseReason, Progress, PromotionBasis, RollbackReason, Stage};
use crate::{actor::Actor, serialize, timestamp::Timestamp};

/// The state of a rollout.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(tag = "phase", rename_all = "snake_case")]
#[non_exhaustive]
pub enum State {
    /// The rollout of these releases has not started. The weight is zero.
    Idle,
    /// Waits for the probes and gates of the plan's `start`. The weight is zero.
    Starting {
        /// The progress.
        progress: Progress,
    },
    /// Runs a step of the plan.
    Running {
        /// The index of the step, from 0.
        step: usize,
        /// The progress.
        progress: Progress,
    },
    /// The plan is paused. A degraded canary is still rolled back.
    Paused {
        /// The stage at which the plan is paused.
        stage: Stage,
        /// The progress of the stage.
        progress: Progress,
        /// The beginning of the pause.
        since: Timestamp,
        /// The reason.
        reason: PauseReason,
    },
    /// The canary is degraded, and its weight goes down in steps.
    RampingDown {
        /// The weight at the beginning of the ramp.
        #[serde(with = "serialize::weight")]
        from: Weight,
        /// The beginning of the ramp.
        since: Timestamp,
        /// The time since then, as counted by ticks.
        #[serde(with = "serialize::span")]
        ticked: Duration,
        /// The reason.
        reason: RollbackReason,
    },
    /// All steps are done. The canary serves all calls except the holdback, and is still judged.
    Baking {
        /// The progress.
        progress: Progress,
        /// The basis of the promotion.
        basis: PromotionBasis,
    },
    /// The canary serves all calls. The plan is finished.
    Promoted {
        /// The time of the change.
        at: Timestamp,
        /// The basis of the promotion.
        basis: PromotionBasis,
    },
    /// Stable serves all calls until a new start.
    RolledBack {
        /// The time of the change.
        at: Timestamp,
        /// The reason.
        reason: RollbackReason,
    },
    /// Stable serves all calls, and no start is allowed until the halt is lifted.
    Halted {
        /// The time of the change.
        at: Timestamp,
        /// The operator.
        by: Actor,
        /// The reason.
        reason: String,
    },
}

impl State {
    /// Returns the state without its data.
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

    /// Returns the stage of the plan; `None` if the plan is not in progress.
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

    /// Returns the progress of the stage; `None` if the plan is not in progress.
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
#[expect(missing_docs, reason = "each variant is the state of the same name")]
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
    /// All phases.
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

    /// Returns the phase in words, such as "ramping down".
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
