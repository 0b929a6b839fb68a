use super::{
    evidence::{Events, StoredEvidenceCounts},
    restarts::restarts,
};
use crate::{channel_comparison::ChannelComparison, evidence::Evidence, monitor::Monitor};

/// The evidence about calls without an answer at one age.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct StoredAge {
    whole: Start,
    /// The number of restarts so far. `None` for a judge without restarts.
    started: Option<u32>,
    latest: Vec<(u32, Start)>,
}

/// Events, then the calls and the adverse calls of (stable, canary). Most of them are zero, so a
/// tuple keeps the document small.
type Start = (Events, [u64; 2], [u64; 2]);

impl StoredAge {
    pub(super) fn of(comparison: &ChannelComparison) -> Self {
        let restarts = comparison.restarts.as_ref();
        let latest = restarts.iter().flat_map(|restarts| &restarts.latest);
        Self {
            whole: StoredEvidenceCounts::of(&comparison.whole).without_trials(),
            started: restarts.map(|restarts| restarts.started),
            latest: latest
                .map(|(number, it)| (*number, StoredEvidenceCounts::of(it).without_trials()))
                .collect(),
        }
    }

    /// Returns `None` if the counts contradict each other.
    pub(super) fn restore(
        &self,
        monitor: &Monitor,
        comparison: &mut ChannelComparison,
    ) -> Option<()> {
        comparison.whole = evidence(&self.whole, monitor)?;
        let latest = self.latest.iter().map(|(number, it)| (*number, evidence(it, monitor)));
        comparison.restarts = match self.started {
            Some(started) => Some(restarts(started, latest)?),
            None => None,
        };
        Some(())
    }
}

fn evidence(start: &Start, monitor: &Monitor) -> Option<Evidence> {
    StoredEvidenceCounts::with_trials_of_canary(start).restore(monitor)
}
