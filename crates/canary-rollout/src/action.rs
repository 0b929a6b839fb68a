use canary_core::Weight;

use crate::event::Event;

/// What whoever drives a rollout has to do, in the order in which it is listed.
///
/// What lowers the weight comes before [`Save`](Self::Save), so that no store keeps a sick canary in
/// service; what raises it comes after, and is to be left out if saving failed. All of them may be
/// done twice without harm.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Action {
    /// Ask this share of calls of the canary.
    SetWeight(Weight),
    /// Make the canary the new stable, its variables included.
    Promote,
    /// Give stable every call.
    RollBack,
    /// Give stable every call, and refuse higher weights; with the reason.
    Halt(String),
    /// End a halt of the data plane. The weight stays zero.
    LiftHalt,
    /// Store the rollout. If somebody else has stored another one meanwhile, drop this one with the
    /// rest of the actions, load theirs, and repeat what led here.
    Save,
    /// Drop the judge's evidence, and assign calls anew with this salt.
    ///
    /// Evidence that is stored belongs to one [attempt](crate::Rollout::attempt): store that with it,
    /// and do not go on with what is of another. A process may die before it comes to this.
    BeginEvidence {
        /// For the hash that assigns keys to channels.
        salt: String,
    },
    /// Call [`Judge::begin_step`](canary_analysis::Judge::begin_step).
    BeginStep,
    /// Run this probe of the plan, and report with a later tick how it ended.
    RunProbe(String),
    /// Ask this gate of the plan, and report with a later tick what it answers; for an approval, tell
    /// people that it is waited for.
    AskGate(String),
    /// Tell this receiver of the plan's what happened.
    Notify {
        /// The receiver's name in the plan.
        to: String,
        /// What happened.
        event: Event,
    },
}

/// What came of a tick or a command.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Transition {
    /// What is to be done now.
    pub actions: Vec<Action>,
    /// What happened; the rollout's history has it as well.
    pub events: Vec<Event>,
    /// Why nothing happened, if a command had no effect: it is paused already.
    pub note: Option<String>,
}
