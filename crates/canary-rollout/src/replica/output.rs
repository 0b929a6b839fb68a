use std::{error, fmt};

use crate::{
    action::{Action, Transition},
    command::{PlanInUse, Refusal},
    event::{Event, EventId},
    rollout::{Releases, Rollout},
};

/// The id of a command. The caller chooses it.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[expect(clippy::exhaustive_structs, reason = "it is a number")]
pub struct CommandId(pub u64);

/// An instruction to the driver. Carry out the outputs in order.
///
/// A request to the store ([`Load`](Self::Load), [`Swap`](Self::Swap),
/// [`SwapEvidence`](Self::SwapEvidence)) is always the last output. Pass its result to the replica
/// before any other input.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "a driver must carry out every output")]
pub enum Output {
    /// Load the rollout, and before the first time also the evidence.
    Load,
    /// Store this rollout.
    Swap {
        /// The rollout.
        rollout: Box<Rollout>,
        /// When to save the evidence.
        evidence: EvidenceOrder,
    },
    /// Save the evidence with the name of this replica as the driver.
    SwapEvidence,
    /// The rollout in force has changed. Its actions follow, or come before.
    InForce,
    /// Take the evidence of the rollout in force from the stored evidence if it belongs to it, and
    /// otherwise begin without evidence.
    ResumeEvidence,
    /// Carry out these actions as far as they lower the weight of the data plane, which can be lower
    /// than that of the rollout. They are not stored yet.
    Lower(Vec<Action>),
    /// Carry out these actions.
    Apply(Vec<Action>),
    /// Assign keys to channels with the salt and the secret of the rollout in force, and set the data
    /// plane to its state with these actions.
    Enforce(Vec<Action>),
    /// The trip of the guard has no consequence. Allow raises of the weight again.
    AcknowledgeTrip,
    /// Return the result of a command to its caller.
    Reply {
        /// The command.
        id: CommandId,
        /// The result.
        result: Result<Transition, CommandFailure>,
    },
    /// The command is settled: allow raises of the weight that it has blocked.
    Release(CommandId),
    /// This replica has made a change, which is in force now. Log its event.
    Audit(Event),
    /// This event is stored. Each stored event is emitted once, in order.
    Emit(Event),
    /// Log a warning.
    Warn(String),
}

/// When to save the evidence, relative to the rollout.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[expect(clippy::exhaustive_enums, reason = "the cases are complete")]
pub enum EvidenceOrder {
    /// Another replica drives the rollout and saves the evidence.
    Never,
    /// Save the evidence first. If another replica has become the driver, save nothing.
    Before,
    /// Save the rollout first, because it lowers the weight.
    After,
}

/// The reason why a command was not carried out.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum CommandFailure {
    /// The state of the rollout does not allow the command.
    Refused(Refusal),
    /// The rollout has another latest event than the author of the command has seen.
    #[non_exhaustive]
    Changed {
        /// The event that the author has seen.
        seen: EventId,
        /// The latest event, if there is one.
        latest: Option<EventId>,
    },
    /// The stored rollout is not loaded.
    NotLoaded(String),
    /// The command could not be stored, and nothing has changed.
    NotStored(String),
    /// The store did not report whether it stored the command.
    Unknown(String),
    /// The rollout is for these releases, and not for those of the replica.
    OtherReleases(Releases),
    /// The plan cannot be replaced, because the rollout is in progress.
    PlanInUse(PlanInUse),
    /// Other replicas changed the rollout on each attempt.
    Contended,
}

impl fmt::Display for CommandFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => write!(f, "{refusal}"),
            Self::Changed { seen, latest } => {
                write!(f, "expected event {seen} to be the latest of the rollout, but ")?;
                match latest {
                    Some(latest) => write!(f, "it is {latest}"),
                    None => f.write_str("there is none"),
                }
            }
            Self::NotLoaded(reason) => write!(f, "the stored rollout is not loaded yet: {reason}"),
            Self::NotStored(reason) => {
                write!(f, "the command could not be stored, and nothing has changed: {reason}")
            }
            Self::Unknown(reason) => write!(
                f,
                "the store did not report whether it stored the command, and nothing has changed \
                 yet: {reason}"
            ),
            Self::OtherReleases(Releases { stable, canary }) => write!(
                f,
                "the stored rollout is for canary {canary} and stable {stable}, but this process \
                 runs other releases"
            ),
            Self::PlanInUse(in_use) => write!(f, "{in_use}"),
            Self::Contended => f.write_str("other replicas keep changing the rollout: try again"),
        }
    }
}

impl error::Error for CommandFailure {}

canary_core::debug_as_display!(CommandFailure);
