use canary_core::Weight;

use crate::{event::Event, variables::VariablePatches};

/// An instruction to the driver. Carry out the actions in the order returned.
///
/// Actions that lower the weight come before [`Save`](Self::Save), so that a slow store cannot keep
/// a degraded canary in service. Actions that raise it come after `Save`; skip them if saving
/// fails. All actions are idempotent.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Set the canary's weight.
    SetWeight(Weight),
    /// Send all calls to the canary, and make its variables those of the stage.
    Promote,
    /// Send all calls to stable.
    RollBack,
    /// Send all calls to stable, and refuse higher weights. The text is the reason.
    Halt(String),
    /// Lift a halt of the data plane. The weight stays zero.
    LiftHalt,
    /// Change the variables of the stage and the canary's overrides: those that the patches name get
    /// these values, and all others the values of the code.
    ///
    /// While the canary is promoted, its values are those of the stage.
    SetVariables(VariablePatches),
    /// Store the rollout with a compare-and-swap. If another replica stored a newer one, discard
    /// this rollout and the remaining actions, load the newer one, and apply the tick or command
    /// again.
    Save,
    /// Discard the judge's evidence, and assign keys with this salt.
    ///
    /// A process may stop before it carries this out. Store the
    /// [attempt](crate::Rollout::attempt) with the evidence, and discard the evidence of any other
    /// attempt.
    BeginEvidence {
        /// The salt of the hash that assigns keys to channels.
        salt: String,
    },
    /// Call [`Judge::begin_step`](canary_analysis::Judge::begin_step).
    BeginStep,
    /// Run this probe of the plan, and report its outcome in a later tick.
    RunProbe(String),
    /// Ask this gate of the plan, and report its answer in a later tick. An approval arrives as a
    /// command instead.
    AskGate(String),
    /// Send an event to a receiver of the plan.
    Notify {
        /// The receiver's name in the plan.
        to: String,
        /// The event.
        event: Event,
    },
}

/// The result of a tick or a command.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// The actions to carry out, in this order.
    pub actions: Vec<Action>,
    /// The events. The rollout's history contains them as well.
    pub events: Vec<Event>,
    /// The reason why a command had no effect, such as "the rollout is already paused".
    pub note: Option<String>,
}
