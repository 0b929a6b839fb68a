use canary_core::{Channel, Counts, EpochCounts, Snapshot, Weight};

use canary_analysis::keys::{KeyCounts, KeyLedger};

/// The counts of one second.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Second {
    /// The number of the second, from 0.
    pub at: u32,
    /// All calls.
    pub counts: EpochCounts,
    /// Keys with failed calls. Empty without [`Users`](crate::Users).
    pub failed_keys: KeyCounts,
    /// Keys with calls.
    pub seen_keys: KeyCounts,
}

impl Second {
    pub(crate) fn new(at: u32, step: u64, weight: Weight) -> Self {
        Self {
            at,
            counts: EpochCounts::new(step, weight, Counts::default()),
            failed_keys: KeyCounts::default(),
            seen_keys: KeyCounts::default(),
        }
    }

    /// Returns the weight.
    #[must_use]
    pub const fn weight(&self) -> Weight {
        self.counts.weight
    }

    /// Returns the calls of a channel.
    #[must_use]
    pub const fn calls(&self, channel: Channel) -> u64 {
        match channel {
            Channel::Stable => self.counts.counts.evidence.stable.picked,
            Channel::Canary => self.counts.counts.evidence.canary.picked,
        }
    }

    /// Returns the failed calls of a channel.
    #[must_use]
    pub const fn failures(&self, channel: Channel) -> u64 {
        match channel {
            Channel::Stable => self.counts.counts.evidence.stable.failure,
            Channel::Canary => self.counts.counts.evidence.canary.failure,
        }
    }

    /// Returns the second as a difference of snapshots.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(Counts::default(), vec![self.counts.clone()])
    }

    pub(crate) fn add(&mut self, channel: Channel, calls: u64, failures: u64) {
        let counts = &mut self.counts.counts.evidence[channel];
        counts.picked += calls;
        counts.success += calls - failures;
        counts.failure += failures;
    }

    pub(crate) fn hang(&mut self, channel: Channel, calls: u64) {
        self.counts.counts.evidence[channel].picked += calls;
    }

    pub(crate) fn take_keys(&mut self, failed: &mut KeyLedger, seen: &mut KeyLedger) {
        self.failed_keys = failed.take();
        self.seen_keys = seen.take();
    }
}
