//! Counts that do not compress, for tests of the size of documents.

use std::time::Duration;

use canary_core::{ChannelCounts, LatencyBucket, Weight};

/// A sequence of numbers that does not compress.
pub(super) struct Numbers(pub(super) u64);

impl Numbers {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    /// Counts of calls at one weight, of a service with high traffic.
    pub(super) fn counts(&mut self, weight: Weight, scale: u64) -> ChannelCounts {
        let picked = scale / 1_000_000 * u64::from(weight.ppm()) + self.below(1_000) + 100;
        let mut calls = ChannelCounts::default();
        calls.picked = picked;
        calls.failure = self.below(picked / 20);
        calls.cancelled = self.below(picked / 20);
        calls.success = picked - calls.failure - calls.cancelled;
        for latencies in [&mut calls.head, &mut calls.end] {
            for _ in 0..40 {
                let latency = Duration::from_micros(self.below(5_000_000));
                latencies.add(LatencyBucket::of(latency), self.below(picked / 40 + 1));
            }
        }
        calls
    }
}
