#[cfg(feature = "serde")]
use crate::stored_default::is_default;
use crate::{log_space::float, monitor::Unit};

/// The usual rate of adverse events: that of the calmest time of the last 30 to 60 minutes.
///
/// Time is cut into blocks of at least [`BLOCK_MILLIS`] and [`BLOCK_CALLS`]. The rate of a block is
/// taken at its upper end, so that a block with few events by chance does not make the usual rate
/// too low. The calmest block counts, and not the mean: an outage of both channels, however long,
/// raises the mean, and would become usual. Only an outage that lasts longer than the time that is
/// known, at most an hour, cannot be told from the normal rate.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Deserialize, serde::Serialize), serde(default))]
pub(crate) struct CalmRate {
    /// The block that is not complete.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) block: RateCounts,
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) block_millis: u64,
    /// The calmest block of this half hour, and that of the one before. Without calls if there is
    /// none.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) calmest: [RateCounts; 2],
    /// The time of this half hour.
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) half_millis: u64,
    /// The whole time with calls, at most [`MOST_KNOWN_MILLIS`].
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) known_millis: u64,
    /// Whether a block is complete that began after [`LONGEST_INCIDENT_MILLIS`].
    #[cfg_attr(feature = "serde", serde(skip_serializing_if = "is_default"))]
    pub(crate) has_late_block: bool,
}

/// Calls, and the adverse events among them.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(from = "(u64, u64)", into = "(u64, u64)")
)]
pub(crate) struct RateCounts {
    pub(crate) calls: u64,
    pub(crate) adverse: u64,
}

impl From<(u64, u64)> for RateCounts {
    fn from((calls, adverse): (u64, u64)) -> Self {
        Self { calls, adverse }
    }
}

impl From<RateCounts> for (u64, u64) {
    fn from(RateCounts { calls, adverse }: RateCounts) -> Self {
        (calls, adverse)
    }
}

impl RateCounts {
    /// Returns whether the counts of calls do not contradict each other.
    pub(crate) const fn is_valid(self) -> bool {
        self.adverse <= self.calls
    }

    pub(crate) const fn add(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.adverse = self.adverse.saturating_add(other.adverse);
    }

    /// Returns the rate, or `None` without calls.
    pub(crate) fn rate(self) -> Option<f64> {
        (self.calls > 0).then(|| (float(self.adverse) / float(self.calls)).min(1.0))
    }

    /// Returns the rate 1.5 standard deviations above, or `None` without calls.
    fn upper_rate(self) -> Option<f64> {
        let adverse = float(self.adverse) + 1.0;
        let upper = adverse + 1.5 * adverse.sqrt();
        (self.calls > 0).then(|| (upper / float(self.calls)).min(1.0))
    }
}

impl CalmRate {
    /// Adds a look. A look without calls is ignored, and its time too.
    pub(crate) fn observe(&mut self, counts: RateCounts, millis: u64) {
        if counts.calls == 0 {
            return;
        }
        self.block.add(counts);
        self.block_millis = self.block_millis.saturating_add(millis);
        self.known_millis = self.known_millis.saturating_add(millis).min(MOST_KNOWN_MILLIS);
        self.half_millis = self.half_millis.saturating_add(millis);
        if self.block_millis >= BLOCK_MILLIS && self.block.calls >= BLOCK_CALLS {
            let block = std::mem::take(&mut self.block);
            let millis = std::mem::take(&mut self.block_millis);
            let began = self.known_millis.saturating_sub(millis);
            self.has_late_block |= began >= LONGEST_INCIDENT_MILLIS;
            let calmest = self.calmest[0].upper_rate();
            if calmest.is_none_or(|calmest| block.upper_rate().is_some_and(|it| it < calmest)) {
                self.calmest[0] = block;
            }
        }
        // A service with so few calls that half an hour has no block keeps the block before.
        if self.half_millis >= HALF_MILLIS && self.calmest[0].calls > 0 {
            self.calmest = [RateCounts::default(), self.calmest[0]];
            self.half_millis = 0;
        }
    }

    /// Returns the usual rate, or `None` before the first block is complete.
    pub(crate) fn usual(&self) -> Option<f64> {
        self.calmest.iter().filter_map(|block| block.upper_rate()).min_by(f64::total_cmp)
    }

    /// Returns whether stored counts do not contradict each other. A key can be adverse without a
    /// call in the same look, so that there may be more adverse keys than calls.
    pub(crate) fn is_valid(&self, unit: Unit) -> bool {
        let Self { block, calmest: [now, before], known_millis, .. } = *self;
        let are_valid = [block, now, before].iter().all(|counts| counts.is_valid());
        (unit == Unit::Keys || are_valid) && known_millis <= MOST_KNOWN_MILLIS
    }

    /// Returns whether enough time is known to tell an outage from the normal rate.
    pub(crate) fn is_known(&self) -> bool {
        self.known_millis >= HOLD_MILLIS && self.has_late_block && self.usual().is_some()
    }
}

/// Blocks as short as the shortest calm times between outages that should count.
const BLOCK_MILLIS: u64 = 20_000;
/// Blocks of fewer calls would have no events by chance.
const BLOCK_CALLS: u64 = 500;
/// The calmest block of one to two of these times counts. A rate that rises for good is usual
/// afterwards.
pub(crate) const HALF_MILLIS: u64 = 1_800_000;
/// An incident from the first call on that lasts this long is told from the usual rate.
const LONGEST_INCIDENT_MILLIS: u64 = 600_000;
/// The time that must be known: an incident, and a minute after it. A service with few calls needs
/// longer, until one block after the incident is complete.
pub(crate) const HOLD_MILLIS: u64 = 660_000;
/// More does not matter.
pub(crate) const MOST_KNOWN_MILLIS: u64 = 2 * HALF_MILLIS;

#[cfg(test)]
mod tests {
    use super::*;

    fn observe(rate: &mut CalmRate, seconds: u32, calls: u64, adverse: u64) {
        (0..seconds).for_each(|_| rate.observe(RateCounts { calls, adverse }, 1_000));
    }

    #[test]
    fn the_usual_rate_is_that_of_the_calmest_block() {
        let mut rate = CalmRate::default();
        observe(&mut rate, 19, 50, 5);
        assert_eq!(rate.usual(), None);
        observe(&mut rate, 601, 50, 5);
        assert!((0.10..0.12).contains(&rate.usual().unwrap()), "an outage from the start");
        assert!(!rate.is_known());
        observe(&mut rate, 20, 50, 0);
        assert!(rate.usual().unwrap() < 0.003);
        observe(&mut rate, 20, 50, 0);
        assert!(rate.is_known());
    }

    #[test]
    fn a_lasting_rise_is_usual_after_an_hour_at_most() {
        let mut rate = CalmRate::default();
        observe(&mut rate, 1_000, 50, 0);
        observe(&mut rate, 1_800, 50, 2);
        assert!(rate.usual().unwrap() < 0.003);
        observe(&mut rate, 1_800, 50, 2);
        assert!(rate.usual().unwrap() > 0.04);
    }

    #[test]
    fn looks_without_calls_are_no_time() {
        let mut rate = CalmRate::default();
        observe(&mut rate, 10_000, 0, 0);
        assert_eq!(rate, CalmRate::default());
        // One call a second: a block takes 500 seconds.
        observe(&mut rate, 1_400, 1, 0);
        assert!(!rate.is_known());
        observe(&mut rate, 100, 1, 0);
        assert!(rate.is_known() && rate.usual().unwrap() < 0.006);
    }
}
