use std::collections::VecDeque;

use super::evidence::StoredEvidenceCounts;
use crate::{
    channel_comparison::{MAX_RESTARTS, Restarts},
    evidence::Evidence,
    monitor::Monitor,
};

/// The evidence that starts at steps of the rollout.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct StoredRestarts {
    started: u32,
    latest: Vec<(u32, StoredEvidenceCounts)>,
}

impl StoredRestarts {
    pub(super) fn of(restarts: &Restarts) -> Self {
        let of = |(number, evidence): &(u32, _)| (*number, StoredEvidenceCounts::of(evidence));
        Self { started: restarts.started, latest: restarts.latest.iter().map(of).collect() }
    }

    /// Returns `None` if there are too many restarts or their numbers are not valid.
    pub(super) fn restore(&self, monitor: &Monitor) -> Option<Restarts> {
        let starts = self.latest.iter().map(|(number, state)| (*number, state.restore(monitor)));
        restarts(self.started, starts)
    }
}

/// Returns `None` if there are too many restarts, or their numbers or states are not valid.
pub(super) fn restarts(
    started: u32,
    latest: impl Iterator<Item = (u32, Option<Evidence>)>,
) -> Option<Restarts> {
    let latest = latest.map(|(number, state)| Some((number, state?)));
    let latest: VecDeque<_> = latest.collect::<Option<_>>()?;
    let are_sorted = latest.iter().is_sorted_by(|one, next| one.0 < next.0);
    let are_started = latest.iter().all(|(number, _)| (1..=started).contains(number));
    let is_valid = latest.len() <= MAX_RESTARTS && are_sorted && are_started;
    is_valid.then_some(Restarts { started, latest })
}
