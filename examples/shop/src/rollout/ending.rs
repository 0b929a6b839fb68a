use std::process::ExitCode;

use canary_controller::{Phase, Status};
use tower_canary::{
    Channel,
    counts::{ChannelCounts, Snapshot},
};

/// How a rollout has ended, for whoever has started the shop.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Ending {
    Promoted,
    /// Rolled back, or halted.
    TakenBack,
    /// It has not ended.
    Open,
}

impl Ending {
    pub(super) fn of(status: &Status) -> Self {
        match status.rollout.phase() {
            _ if status.load_error.is_some() => Self::Open,
            Phase::Promoted => Self::Promoted,
            Phase::RolledBack | Phase::Halted => Self::TakenBack,
            _ => Self::Open,
        }
    }

    /// How it ended, why, and how many calls it cost since the process began.
    pub(super) fn sentence(self, waits: &str, counts: &Snapshot) -> String {
        let counts = counts.total();
        let ChannelCounts { success, failure, .. } = counts.evidence[Channel::Canary];
        let answered = success + failure;
        let how = match self {
            Self::Open => format!("the rollout is not over: {waits}"),
            _ => format!("the rollout is over: {waits}"),
        };
        format!(
            "{how}\nversion 2 has answered {answered} calls of this run, and failed {failure} of them"
        )
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        Self::from(match ending {
            Ending::Promoted => 0,
            Ending::TakenBack => 2,
            Ending::Open => 3,
        })
    }
}
