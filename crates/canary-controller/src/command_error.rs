use canary_rollout::{
    Releases,
    command::{PlanInUse, Refusal},
    event::EventId,
    replica::CommandFailure,
};
use tower_canary::InvalidVariables;

use crate::requirements::Unmet;

/// The error of a command that was not carried out.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// The state of the rollout does not allow the command.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The new variables of a channel do not fit the type that the options name.
    #[error(transparent)]
    Variables(#[from] InvalidVariables),
    /// The rollout has another latest event than the command names.
    #[error(
        "expected event {seen} to be the latest of the rollout, but {}",
        .latest.map_or_else(|| "there is none".to_owned(), |latest| format!("it is {latest}"))
    )]
    #[non_exhaustive]
    Changed {
        /// The event that the command names.
        seen: EventId,
        /// The latest event, if there is one.
        latest: Option<EventId>,
    },
    /// The stored rollout has not been loaded yet.
    #[error("the stored rollout is not loaded yet: {0}")]
    NotLoaded(String),
    /// The command could not be stored. The rollout is unchanged.
    #[error("the command could not be stored, and nothing has changed: {0}")]
    NotStored(String),
    /// The store did not report whether it stored the command. The rollout is unchanged until the
    /// store answers, and then follows it.
    #[error(
        "the store did not report whether it stored the command, and nothing has changed yet: {0}"
    )]
    Unknown(String),
    /// The stored rollout is for other releases than those of this process.
    #[error(
        "the stored rollout is for canary {} and stable {}, but this process runs other releases",
        .0.canary, .0.stable
    )]
    OtherReleases(Releases),
    /// The new plan has requirements that this process does not meet.
    #[error("the plan has unmet requirements: {0}")]
    Plan(#[from] Unmet),
    /// The plan cannot be replaced, because the rollout is in progress.
    #[error(transparent)]
    PlanInUse(#[from] PlanInUse),
    /// Other replicas changed the rollout on each attempt to store the command.
    #[error("other replicas keep changing the rollout: try again")]
    Contended,
    /// The controller has stopped.
    #[error("the controller has stopped")]
    Stopped,
}

canary_core::debug_as_display!(CommandError);

impl From<CommandFailure> for CommandError {
    fn from(failure: CommandFailure) -> Self {
        match failure {
            CommandFailure::Refused(refusal) => Self::Refused(refusal),
            CommandFailure::Changed { seen, latest, .. } => Self::Changed { seen, latest },
            CommandFailure::NotLoaded(reason) => Self::NotLoaded(reason),
            CommandFailure::NotStored(reason) => Self::NotStored(reason),
            CommandFailure::Unknown(reason) => Self::Unknown(reason),
            CommandFailure::OtherReleases(releases) => Self::OtherReleases(releases),
            CommandFailure::PlanInUse(in_use) => Self::PlanInUse(in_use),
            _ => Self::Contended,
        }
    }
}
