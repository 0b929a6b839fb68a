use super::evidence::{Events, channels};
#[cfg(feature = "serde")]
use crate::stored_default::is_default;
use crate::{
    background::Background,
    calm_rate::RateCounts,
    evidence::Evidence,
    monitor::{Monitor, Unit},
    outage_filter::{EventBlock, EventMap, LeveledEvents, MAX_LEVELS, OutageFilter, Trials},
    split_ratio::SplitRatio,
};

/// The counts outside outages, and those of looks that wait.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(super) struct StoredOutageFilter {
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    levels: Vec<(u8, Events)>,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    block: StoredBlock,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    waiting: StoredBlock,
    /// All trials and the adverse ones among them, then those that wait.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    trials: [u64; 4],
}

#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
struct StoredBlock {
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    counts: RateCounts,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    millis: u64,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    events: Events,
}

impl StoredOutageFilter {
    pub(super) fn of(filter: &OutageFilter) -> Self {
        let levels = filter.events.levels.iter();
        let (counted, waiting) = (filter.trials, filter.waiting_trials);
        Self {
            levels: levels.map(|(level, events)| (*level, stored(events))).collect(),
            block: StoredBlock::of(&filter.events.block),
            waiting: StoredBlock::of(&filter.waiting),
            trials: [counted.all, counted.adverse, waiting.all, waiting.adverse],
        }
    }

    /// Returns `None` if the counts contradict each other or those of `whole`, which includes them.
    pub(super) fn restore(
        &self,
        monitor: &Monitor,
        whole: &Evidence,
        background: &Background,
    ) -> Option<OutageFilter> {
        let mut filter = OutageFilter::new(monitor);
        let levels = self.levels.iter().map(|(level, events)| Some((*level, restored(events)?)));
        filter.events = LeveledEvents {
            block: self.block.restore(monitor.unit())?,
            levels: levels.collect::<Option<_>>()?,
        };
        filter.waiting = self.waiting.restore(monitor.unit())?;
        let [all, adverse, waiting, waiting_adverse] = self.trials;
        filter.trials = Trials { all, adverse };
        filter.waiting_trials = Trials { all: waiting, adverse: waiting_adverse };

        let mut part = filter.events.total();
        for events in filter.waiting.events.values() {
            part = part.saturating_add(*events);
        }
        let sum = whole.good.split.total();
        let is_part = part.stable <= sum.stable
            && part.canary <= sum.canary
            && all.saturating_add(waiting) <= whole.good.trials
            && adverse.saturating_add(waiting_adverse) <= whole.good.adverse
            && filter.events.levels.len() == self.levels.len()
            && self.levels.len() <= MAX_LEVELS;
        filter.choose(background);
        is_part.then_some(filter)
    }
}

impl StoredBlock {
    fn of(block: &EventBlock) -> Self {
        let EventBlock { counts, millis, events } = block;
        Self { counts: *counts, millis: *millis, events: stored(events) }
    }

    fn restore(&self, unit: Unit) -> Option<EventBlock> {
        let Self { counts, millis, events } = self;
        // A key can be adverse without a call in the same look.
        (unit == Unit::Keys || counts.is_valid()).then_some(EventBlock {
            counts: *counts,
            millis: *millis,
            events: restored(events)?,
        })
    }
}

fn stored(events: &EventMap) -> Events {
    let parts = events.iter().map(|(ratio, events)| {
        (ratio.canary_buckets(), ratio.all_buckets(), events.stable, events.canary)
    });
    parts.collect()
}

/// Returns `None` if a split ratio is invalid.
fn restored(events: &Events) -> Option<EventMap> {
    let parts = events.iter().map(|(canary, all, of_stable, of_canary)| {
        let ratio = SplitRatio::try_new(*canary, *all).filter(|ratio| !ratio.is_certain())?;
        Some((ratio, channels([*of_stable, *of_canary])))
    });
    parts.collect()
}
