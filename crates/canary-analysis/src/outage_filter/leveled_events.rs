use std::collections::BTreeMap;

use canary_core::PerChannel;

use crate::{calm_rate::RateCounts, split_e_process::SplitEProcess, split_ratio::SplitRatio};

/// Adverse events, by the rate of the time in which they came.
///
/// Time is cut into blocks of at least a minute and 500 calls. The events of a block have the level
/// of its rate. When a calmer time becomes known, the limit falls, and the events of an incident no
/// longer count, also if it had seemed to be the usual rate before.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct LeveledEvents {
    /// The block that is not complete.
    pub(crate) block: EventBlock,
    /// The events of complete blocks.
    pub(crate) levels: BTreeMap<u8, EventMap>,
}

/// The number of events of each channel at each split ratio.
pub(crate) type EventMap = BTreeMap<SplitRatio, PerChannel<u64>>;

/// The counts of all calls in a stretch of time.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct EventBlock {
    pub(crate) counts: RateCounts,
    pub(crate) millis: u64,
    pub(crate) events: EventMap,
}

impl EventBlock {
    pub(crate) fn add(
        &mut self,
        counts: RateCounts,
        millis: u64,
        events: impl IntoIterator<Item = (SplitRatio, PerChannel<u64>)>,
    ) {
        self.counts.add(counts);
        self.millis = self.millis.saturating_add(millis);
        add(&mut self.events, events);
    }

    fn level(&self, floor: f64) -> u8 {
        level(floor, self.counts.rate().unwrap_or(0.0))
    }
}

impl LeveledEvents {
    /// Adds a stretch of time.
    pub(crate) fn add(&mut self, floor: f64, limit: f64, stretch: EventBlock) {
        let EventBlock { counts, millis, events } = stretch;
        self.block.add(counts, millis, events);
        if self.block.millis >= BLOCK_MILLIS && self.block.counts.calls >= BLOCK_CALLS {
            let block = std::mem::take(&mut self.block);
            add(self.levels.entry(block.level(floor)).or_default(), block.events);
            self.bound(level_of_limit(floor, limit));
        }
    }

    /// Adds the events of all levels up to the limit to a process.
    pub(crate) fn up_to<const N: usize>(
        &self,
        floor: f64,
        limit: f64,
        process: &mut SplitEProcess<N>,
    ) {
        let limit = level_of_limit(floor, limit);
        let levels = self.levels.range(..=limit).map(|(_, events)| events);
        let block = (self.block.level(floor) <= limit).then_some(&self.block.events);
        for (ratio, events) in levels.chain(block).flatten() {
            process.add_events(*ratio, *events);
        }
    }

    /// Returns the number of events of each channel at all levels.
    pub(crate) fn total(&self) -> PerChannel<u64> {
        let all = self.levels.values().chain([&self.block.events]).flat_map(BTreeMap::values);
        all.copied().fold(PerChannel::default(), PerChannel::saturating_add)
    }

    /// Bounds the number of levels, and so the memory. EventMap above the limit are dropped first. If
    /// there are none, the calmest level joins the next one, as if its time had been less calm.
    fn bound(&mut self, limit: u8) {
        while self.levels.len() > MAX_LEVELS {
            match self.levels.last_key_value() {
                Some((highest, _)) if *highest > limit => {
                    self.levels.pop_last();
                }
                _ => {
                    let Some((_, events)) = self.levels.pop_first() else { return };
                    if let Some(mut next) = self.levels.first_entry() {
                        add(next.get_mut(), events);
                    }
                }
            }
        }
    }
}

fn add(sum: &mut EventMap, events: impl IntoIterator<Item = (SplitRatio, PerChannel<u64>)>) {
    for (ratio, events) in events {
        if events != PerChannel::default() && !ratio.is_certain() {
            let sum = sum.entry(ratio).or_default();
            *sum = sum.saturating_add(events);
        }
    }
}

/// Returns the level of a rate: 0 up to the floor, and one more for each tenth above it.
fn level(floor: f64, rate: f64) -> u8 {
    if rate <= floor { 0 } else { whole((rate / floor).ln() / STEP.ln()).saturating_add(1) }
}

/// Returns the highest level whose rates are all up to the limit.
fn level_of_limit(floor: f64, limit: f64) -> u8 {
    if limit >= 1.0 { u8::MAX } else { whole((limit / floor).ln() / STEP.ln()) }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "`as` saturates")]
const fn whole(number: f64) -> u8 {
    number as u8
}

/// The ratio of two levels.
const STEP: f64 = 1.1;
const BLOCK_MILLIS: u64 = 60_000;
/// In blocks of fewer calls, one event would be a high rate.
const BLOCK_CALLS: u64 = 500;
/// The rates up to the limit, three times the usual odds, have 12 levels.
pub(crate) const MAX_LEVELS: usize = 16;

#[cfg(test)]
mod tests {
    use canary_core::Weight;

    use super::*;
    use crate::split_e_process::BETTER;

    const FLOOR: f64 = 0.005;

    fn block(calls: u64, adverse: u64) -> EventBlock {
        let mut block = EventBlock::default();
        let events = PerChannel { stable: adverse, canary: 0 };
        let ten = SplitRatio::of(Weight::from_percent(10));
        block.add(RateCounts { calls, adverse }, BLOCK_MILLIS, [(ten, events)]);
        block
    }

    fn counted(events: &LeveledEvents, limit: f64) -> u64 {
        let mut process = SplitEProcess::new(2.0, &BETTER);
        events.up_to(FLOOR, limit, &mut process);
        process.total().stable
    }

    #[test]
    fn events_count_up_to_the_limit_of_now() {
        let mut events = LeveledEvents::default();
        for adverse in [2, 10, 50, 900] {
            events.add(FLOOR, 1.0, block(1_000, adverse));
        }
        assert_eq!(counted(&events, 0.005), 2);
        assert_eq!(counted(&events, 0.012), 12);
        assert_eq!(counted(&events, 0.06), 62);
        assert_eq!(counted(&events, 1.0), 962);
        assert_eq!(events.total().stable, 962);
    }

    #[test]
    fn the_number_of_levels_is_bounded() {
        let mut events = LeveledEvents::default();
        for adverse in 1..=1_000 {
            events.add(FLOOR, 0.02, block(1_000, adverse));
        }
        assert!(events.levels.len() <= MAX_LEVELS);
        let below: u64 = (1..=18).sum();
        assert_eq!(counted(&events, 0.02), below);
        // If all are below the limit, the calmest ones join the next.
        let mut events = LeveledEvents::default();
        for adverse in 1..=1_000 {
            events.add(FLOOR, 1.0, block(1_000, adverse));
        }
        assert!(events.levels.len() <= MAX_LEVELS);
        assert_eq!(counted(&events, 1.0), (1..=1_000).sum::<u64>());
    }
}
