#[cfg(feature = "serde")]
use crate::stored_default::is_default;
use std::time::Duration;

use canary_core::PerChannel;

use crate::{
    burst_detector::{BurstDetector, Course},
    calm_rate::{HOLD_MILLIS, RateCounts},
    margins::Margin,
    monitor::{Monitor, Unit},
    outage_history::{OutageHistory, OutageScan},
    split_ratio::SplitRatio,
    waves::{WaveLimits, Waves},
};

/// What is usual for a monitor: its rates and its outages, before the rollout and during it.
///
/// It does not depend on the attempt. A new attempt continues with the background of the one
/// before, see [`Baseline`](crate::Baseline).
#[derive(Clone, Debug)]
pub(crate) struct Background {
    /// The lowest limit of the detectors.
    floor: f64,
    /// The lowest rate that the history takes as usual.
    history_floor: f64,
    pub(crate) unit: Unit,
    pub(crate) state: BackgroundState,
}

/// The part of a [`Background`] that is stored.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(crate) struct BackgroundState {
    /// All calls.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) both: BurstDetector,
    /// Stable's calls.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) stable: BurstDetector,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) history: OutageHistory,
    /// All calls.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) waves: Waves,
}

/// One look: the counts of all weights and replicas.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Look<'a> {
    pub(crate) millis: u64,
    pub(crate) calls: PerChannel<u64>,
    pub(crate) adverse: PerChannel<u64>,
    /// The adverse events by the probability of the canary.
    pub(crate) events: &'a [(SplitRatio, PerChannel<u64>)],
    /// Whether calls could go to either channel.
    pub(crate) is_split: bool,
}

impl Look<'_> {
    pub(crate) fn both(&self) -> RateCounts {
        RateCounts { calls: self.calls.total(), adverse: self.adverse.total() }
    }

    pub(crate) const fn stable(&self) -> RateCounts {
        RateCounts { calls: self.calls.stable, adverse: self.adverse.stable }
    }

    pub(crate) const fn canary(&self) -> RateCounts {
        RateCounts { calls: self.calls.canary, adverse: self.adverse.canary }
    }
}

/// The course of all calls, and of stable's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Courses {
    pub(crate) both: Course,
    pub(crate) stable: Course,
}

impl BackgroundState {
    /// Returns whether stored counts do not contradict each other.
    pub(crate) fn is_valid(&self, unit: Unit) -> bool {
        self.both.is_valid(unit)
            && self.stable.is_valid(unit)
            && self.history.is_valid()
            && self.waves.is_valid()
    }
}

impl Background {
    pub(crate) fn new(monitor: &Monitor) -> Self {
        let Margin { rate: good, .. } = monitor.margins().good();
        let by_definition = monitor.rate_by_definition().unwrap_or_default();
        // A key counts once at each weight. So its adverse events are most frequent when a step
        // begins, and these looks would not count if the calmest time alone was the measure.
        let floor = match monitor.unit() {
            Unit::Calls => good,
            Unit::Keys => (4.0 * good).min(good.max(0.5)),
        };
        Self {
            floor: floor.max(by_definition),
            unit: monitor.unit(),
            history_floor: monitor.margins().worse().rate.max(by_definition),
            state: BackgroundState::default(),
        }
    }

    pub(crate) fn observe(&mut self, look: &Look<'_>) -> Courses {
        // Among keys, the beginning of a step would pass for an outage, and for a wave.
        if self.unit == Unit::Calls {
            self.observe_own_outages(look);
            let (both, floor) = (&self.state.both, self.floor);
            let limits = WaveLimits { near: both.limit(floor), far: both.far_limit(floor) };
            self.state.waves.observe(limits, look.both(), look.millis);
        }
        Courses {
            both: self.state.both.observe(self.floor, look.both(), look.millis),
            stable: self.state.stable.observe(self.floor, look.stable(), look.millis),
        }
    }

    /// Adds a look to the history of stable's own outages only.
    pub(crate) fn observe_own_outages(&mut self, look: &Look<'_>) {
        self.state.history.observe(self.history_floor, look);
    }

    pub(crate) const fn floor(&self) -> f64 {
        self.floor
    }

    /// Returns the rate up to which all calls of a time are no outage.
    pub(crate) fn limit(&self) -> f64 {
        self.state.both.limit(self.floor)
    }

    /// Returns whether enough is known to tell an outage of both channels from the usual rate.
    pub(crate) fn is_known(&self) -> bool {
        self.state.both.calm.is_known()
    }

    /// Returns whether the adverse events of both channels come in waves, which leave no calm time to
    /// compare them in.
    pub(crate) fn is_in_waves(&self) -> bool {
        self.state.waves.are_seen(self.floor)
    }

    /// Returns the time of which the rates are known, and the time that is needed.
    pub(crate) const fn known(&self) -> (Duration, Duration) {
        let known = Duration::from_millis(self.state.both.calm.known_millis);
        (known, Duration::from_millis(HOLD_MILLIS))
    }

    /// Adds a look at the canary to the scan for its outages. Returns the length of an outage that
    /// has ended.
    pub(crate) fn scan_canary(&self, scan: &mut OutageScan, look: &Look<'_>) -> Option<u64> {
        self.state.history.scan_canary(self.history_floor, scan, look)
    }
}
