use std::{error, fmt, time::Duration};

use canary_core::Weight;
use serde::{Serialize, Serializer};

use super::CommandName;
use crate::{span::rough, state::phase::Phase, text::NAME_BYTES};

/// A command that the rollout's state does not allow. The rollout is unchanged.
#[derive(Clone, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Refusal {
    /// The command.
    pub command: CommandName,
    /// The state.
    pub phase: Phase,
    /// The reason, and a command to use instead if there is one.
    pub reason: RefusalReason,
    /// The commands that are allowed in this state and have an effect.
    pub allowed: Vec<CommandName>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { command, phase, reason, allowed } = self;
        let allowed = allowed.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ");
        write!(f, "cannot {command} while {phase}: {reason}; allowed commands: {allowed}")
    }
}

impl error::Error for Refusal {}

canary_core::debug_as_display!(Refusal);

/// The reason for a [`Refusal`]. It serializes as its `Display` text.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The rollout is idle.
    NotStarted,
    /// The rollout is paused, and the command needs a running plan.
    Paused,
    /// The rollout is paused and cannot be started again without a restart.
    AlreadyStarted,
    /// The canary is degraded, and the plan froze its weight.
    Frozen,
    /// The canary is degraded and frozen, and a bake would find it degraded again.
    FrozenBeforeBake,
    /// The canary is degraded and frozen, and the command would raise its weight.
    FrozenWeight,
    /// The plan is by hand, and has no steps.
    ByHand,
    /// There is no step after this one.
    LastStep,
    /// All steps are done, and the plan's maximum weight is below 100%.
    ManualPromotionOnly,
    /// All steps are done, and the bake is running.
    Baking,
    /// The bake is paused.
    BakePaused,
    /// A bake has no gates.
    NoGatesInBake,
    /// The weight is above the plan's maximum.
    AboveMaximum {
        /// The requested weight.
        weight: Weight,
        /// The plan's maximum; in the bake, what the holdback leaves.
        maximum: Weight,
    },
    /// The weight is 100%, which only a promotion sets.
    FullWeight,
    /// The gate is open already.
    GateOpen,
    /// The gate is not waiting for an answer.
    GateNotWaiting {
        /// The gate's name.
        gate: String,
        /// The gates that are waiting.
        waiting: Vec<String>,
    },
    /// The name of a variable is empty, too long, or has control characters.
    VariableName {
        /// The name, cut to 64 bytes.
        name: String,
    },
    /// All changes of variables are too large to be stored.
    VariablesTooLarge {
        /// Their size with this command, in bytes of JSON.
        bytes: usize,
        /// The maximum size.
        maximum: usize,
    },
    /// The canary is promoted, so it overrides nothing.
    NoOverridesAfterPromotion,
    /// The canary is degraded, and its weight is going down.
    RampingDown,
    /// The canary is promoted.
    Promoted,
    /// The canary is promoted, and the plan has nothing left to do.
    Finished,
    /// The rollout is rolled back.
    RolledBack,
    /// The plan has just rolled the canary back, and a program would start it again.
    CoolDown {
        /// The time until a program can start it.
        left: Duration,
    },
    /// The rollout is halted.
    Halted,
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AboveMaximum { weight, maximum } => {
                return write!(f, "weight {weight} is above the plan's maximum of {maximum}");
            }
            Self::GateNotWaiting { gate, waiting } => {
                write!(f, "gate {gate:?} is not waiting for an answer; ")?;
                if waiting.is_empty() {
                    return f.write_str("no gate is");
                }
                let waiting: Vec<_> = waiting.iter().map(|name| format!("{name:?}")).collect();
                return write!(f, "waiting: {}", waiting.join(", "));
            }
            Self::VariableName { name } => {
                return write!(
                    f,
                    "variable name {name:?}: expected 1 to {NAME_BYTES} bytes without control \
                     characters"
                );
            }
            Self::VariablesTooLarge { bytes, maximum } => {
                return write!(
                    f,
                    "the changed variables have {bytes} bytes as JSON, expected at most {maximum}"
                );
            }
            Self::CoolDown { left } => {
                return write!(
                    f,
                    "the canary has just been rolled back: a person can start it at once, a program \
                     in {}",
                    rough(*left)
                );
            }
            Self::NotStarted => "the rollout has not started: start it first",
            Self::Paused => "the rollout is paused: resume it first",
            Self::AlreadyStarted => "the rollout is paused: resume or restart it",
            Self::Frozen => "the canary is degraded: restart with new evidence, or roll back",
            Self::FrozenBeforeBake => {
                "the bake would find the canary degraded again: promote-fully skips it"
            }
            Self::FrozenWeight => "the canary is degraded: its weight can only be lowered",
            Self::ByHand => "the plan has no steps: set the weight by hand, or promote",
            Self::LastStep => "this is the last step: promote instead",
            Self::ManualPromotionOnly => {
                "all steps are done, and the plan leaves the promotion to an operator"
            }
            Self::Baking => "all steps are done: promote-fully ends the bake",
            Self::BakePaused => "the bake is paused: resume it, or use promote-fully",
            Self::NoGatesInBake => "a bake has no gates",
            Self::FullWeight => "100% is a promotion: promote instead",
            Self::GateOpen => "the gate is already open: pause or roll back instead",
            Self::NoOverridesAfterPromotion => {
                "the canary is promoted and overrides nothing: set the variables of the stage"
            }
            Self::RampingDown => {
                "the canary is degraded and ramping down: roll back to end the ramp at once"
            }
            Self::Promoted => "the canary is promoted: roll back first, or deploy the next release",
            Self::Finished => "the rollout is finished",
            Self::RolledBack => "after a rollback only a new start raises the weight",
            Self::Halted => "the rollout is halted: lift the halt, then start",
        })
    }
}

impl Serialize for RefusalReason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// An error from [`Rollout::replace_plan`](crate::Rollout::replace_plan): the current plan is in
/// use.
#[derive(Clone, Copy, Eq, PartialEq)]
pub struct PlanInUse(pub(crate) Phase);

impl fmt::Display for PlanInUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the rollout is {} and uses its plan: roll back first", self.0)
    }
}

impl error::Error for PlanInUse {}

canary_core::debug_as_display!(PlanInUse);
