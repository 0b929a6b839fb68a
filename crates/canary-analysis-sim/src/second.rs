use canary_core::{Channel, Counts, EpochCounts, Snapshot, Weight};

use canary_analysis::keys::{KeyCounts, KeyLedger};

/// The counts of one second.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Second {
    /// The number of the second, from 0.
    pub at: u32,
    /// All calls at the present weight.
    pub counts: EpochCounts,
    /// Calls of earlier steps that ended in this second.
    pub late: Vec<EpochCounts>,
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
            late: Vec::new(),
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
        let mut epochs = vec![self.counts.clone()];
        epochs.extend(self.late.iter().cloned());
        Snapshot::new(Counts::default(), epochs)
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

    /// Returns the counts of the calls of a step, for calls that end in this second.
    pub(crate) fn of_step(&mut self, step: u64, weight: Weight) -> &mut Counts {
        if step == self.counts.epoch {
            return &mut self.counts.counts;
        }
        let known = self.late.iter().position(|epoch| epoch.epoch == step);
        let at = known.unwrap_or(self.late.len());
        if known.is_none() {
            self.late.push(EpochCounts::new(step, weight, Counts::default()));
        }
        &mut self.late[at].counts
    }

    pub(crate) fn take_keys(&mut self, failed: &mut KeyLedger, seen: &mut KeyLedger) {
        self.failed_keys = failed.take();
        self.seen_keys = seen.take();
    }
}
