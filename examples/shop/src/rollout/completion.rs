use std::process::ExitCode;

use canary_controller::{Phase, Status};
use tower_canary::{
    Channel,
    counts::{ChannelCounts, Snapshot},
};

/// The result of a rollout, which becomes the exit status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Completion {
    Promoted,
    RolledBackOrHalted,
    Unfinished,
}

impl Completion {
    pub(super) fn of(status: &Status) -> Self {
        match status.rollout.phase() {
            _ if status.load_error.is_some() => Self::Unfinished,
            _ if status.rollout.plan().is_by_hand() => Self::Unfinished,
            Phase::Promoted => Self::Promoted,
            Phase::RolledBack | Phase::Halted => Self::RolledBackOrHalted,
            _ => Self::Unfinished,
        }
    }

    /// Returns the result, its reason, and the number of failed calls in this process.
    pub(super) fn sentence(self, summary: &str, counts: &Snapshot) -> String {
        let counts = counts.total();
        let ChannelCounts { success, failure, .. } = counts.evidence[Channel::Canary];
        let answered = success + failure;
        let result = match self {
            Self::Unfinished => format!("the rollout has not ended: {summary}"),
            _ => format!("the rollout has ended: {summary}"),
        };
        format!(
            "{result}\nversion 2 answered {answered} calls in this run, {failure} of them with a failure"
        )
    }
}

impl From<Completion> for ExitCode {
    fn from(ending: Completion) -> Self {
        Self::from(match ending {
            Completion::Promoted => 0,
            Completion::RolledBackOrHalted => 2,
            Completion::Unfinished => 3,
        })
    }
}
