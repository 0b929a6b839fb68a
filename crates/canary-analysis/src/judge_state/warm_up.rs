use std::time::Duration;

use super::evidence::StoredEvidenceCounts;
use crate::{channel_comparison::ChannelComparison, monitor::Monitor, warm_up::WarmUp};

/// The time that has passed of a warm-up, and the counts of its looks.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct StoredWarmUp {
    elapsed: Option<Duration>,
    brake: StoredEvidenceCounts,
}

impl StoredWarmUp {
    pub(super) fn of(comparison: &ChannelComparison) -> Option<Self> {
        let warm_up = comparison.warm_up.as_ref()?;
        let brake = StoredEvidenceCounts::of(&warm_up.brake);
        Some(Self { elapsed: warm_up.elapsed(), brake })
    }

    /// Returns `None` if the counts contradict each other, or the monitor has no such warm-up.
    pub(super) fn restore(&self, monitor: &Monitor) -> Option<WarmUp> {
        let warm_up = WarmUp::new(monitor)?;
        let brake = self.brake.restore_as(warm_up.brake.clone())?;
        warm_up.restored(self.elapsed, brake)
    }
}
