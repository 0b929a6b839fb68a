use super::evidence::{Events, restored, stored};
use crate::{
    burst_detector::{BURST_EXCESS, BurstDetector, MAX_BURST_LOOKS},
    evidence::Evidence,
    monitor::{Monitor, Unit},
    outage_filter::OutageFilter,
};

/// The counts of the proof without storms, and what tells storms from calm.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct StoredOutageFilter {
    events: Events,
    /// All trials, then the adverse ones.
    trials: [u64; 2],
    all: StoredBurstDetector,
    stable: StoredBurstDetector,
}

#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
struct StoredBurstDetector {
    calls: u64,
    adverse: u64,
    excess: u64,
    burst_looks: u32,
}

impl StoredOutageFilter {
    pub(super) fn of(calm: &OutageFilter) -> Self {
        Self {
            events: stored(&calm.good.split),
            trials: [calm.good.trials, calm.good.adverse],
            all: StoredBurstDetector::of(calm.all),
            stable: StoredBurstDetector::of(calm.stable),
        }
    }

    /// None if the counts contradict each other, or the `whole` of which they are a part.
    pub(super) fn restore(&self, monitor: &Monitor, whole: &Evidence) -> Option<OutageFilter> {
        let mut calm = OutageFilter::new(monitor);
        calm.good.split.merge(&restored(&self.events)?);
        let [trials, adverse] = self.trials;
        calm.good.add_trials(trials, adverse);
        let (part, all) = (calm.good.split.total(), whole.good.split.total());
        let is_part = part.stable <= all.stable
            && part.canary <= all.canary
            && trials <= whole.good.trials
            && adverse <= whole.good.adverse;
        calm.all = self.all.restore(monitor)?;
        calm.stable = self.stable.restore(monitor)?;
        is_part.then_some(calm)
    }
}

impl StoredBurstDetector {
    const fn of(detector: BurstDetector) -> Self {
        let BurstDetector { calls, adverse, excess, burst_looks } = detector;
        Self { calls, adverse, excess, burst_looks }
    }

    fn restore(&self, monitor: &Monitor) -> Option<BurstDetector> {
        let Self { calls, adverse, excess, burst_looks } = *self;
        // Keys that are hit may have been tossed at several weights.
        let is_rate = monitor.unit() == Unit::Keys || adverse <= calls;
        let can_be = is_rate && excess <= BURST_EXCESS && burst_looks <= MAX_BURST_LOOKS;
        can_be.then_some(BurstDetector { calls, adverse, excess, burst_looks })
    }
}
