use super::evidence::{Events, restored, stored};
use crate::{
    burst_detector::{BURST_EXCESS, BurstDetector, MAX_BURST_LOOKS},
    evidence::Evidence,
    monitor::{Monitor, Unit},
    outage_filter::OutageFilter,
};

/// The counts outside outages, and the state of the burst detectors.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
pub(super) struct StoredOutageFilter {
    events: Events,
    /// All trials, then the adverse ones.
    trials: [u64; 2],
    both: StoredBurstDetector,
    stable: StoredBurstDetector,
}

#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize))]
struct StoredBurstDetector {
    calls: u64,
    adverse: u64,
    excess: u64,
    #[cfg_attr(feature = "serde", serde(rename = "bursts"))]
    burst_looks: u32,
}

impl StoredOutageFilter {
    pub(super) fn of(filter: &OutageFilter) -> Self {
        Self {
            events: stored(&filter.good.split),
            trials: [filter.good.trials, filter.good.adverse],
            both: StoredBurstDetector::of(filter.both),
            stable: StoredBurstDetector::of(filter.stable),
        }
    }

    /// Returns `None` if the counts contradict each other or those of `whole`, which includes them.
    pub(super) fn restore(&self, monitor: &Monitor, whole: &Evidence) -> Option<OutageFilter> {
        let mut filter = OutageFilter::new(monitor);
        filter.good.split.merge(&restored(&self.events)?);
        let [trials, adverse] = self.trials;
        filter.good.add_trials(trials, adverse);
        let (part, all) = (filter.good.split.total(), whole.good.split.total());
        let is_part = part.stable <= all.stable
            && part.canary <= all.canary
            && trials <= whole.good.trials
            && adverse <= whole.good.adverse;
        filter.both = self.both.restore(monitor)?;
        filter.stable = self.stable.restore(monitor)?;
        is_part.then_some(filter)
    }
}

impl StoredBurstDetector {
    const fn of(detector: BurstDetector) -> Self {
        let BurstDetector { calls, adverse, excess, burst_looks } = detector;
        Self { calls, adverse, excess, burst_looks }
    }

    fn restore(&self, monitor: &Monitor) -> Option<BurstDetector> {
        let Self { calls, adverse, excess, burst_looks } = *self;
        // A key can be adverse at several weights.
        let is_rate_valid = monitor.unit() == Unit::Keys || adverse <= calls;
        let is_valid = is_rate_valid && excess <= BURST_EXCESS && burst_looks <= MAX_BURST_LOOKS;
        is_valid.then_some(BurstDetector { calls, adverse, excess, burst_looks })
    }
}
