use std::sync::atomic::{AtomicU64, Ordering};

use canary_core::Weight;

/// Failed canary calls that the evidence may not include yet. A call may be counted twice, but is
/// never missed.
///
/// The number of calls and their smallest weight share one word, so that threads see a consistent
/// pair. A failure is stronger evidence at a smaller weight, so counting all of them at the
/// smallest weight never understates the evidence.
#[derive(Debug)]
pub(super) struct PendingFailures(AtomicU64);

/// The pending failures at one moment.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct FailureBatch {
    pub(super) calls: u64,
    pub(super) smallest: Weight,
}

impl PendingFailures {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(FailureBatch::NONE.packed()))
    }

    pub(super) fn add(&self, calls: u64, weight: Weight) {
        if calls == 0 {
            return;
        }
        // A failure at a weight of zero is no evidence, and must not hide the other failures.
        let weight = if weight == Weight::ZERO { Weight::from_ppm(1) } else { weight };
        self.update(|failures| FailureBatch {
            calls: failures.calls.saturating_add(calls).min(MAX_CALLS),
            smallest: failures.smallest.min(weight),
        });
    }

    pub(super) fn load(&self) -> FailureBatch {
        FailureBatch::unpacked(self.0.load(Ordering::SeqCst))
    }

    /// Removes failures that are in the evidence now.
    pub(super) fn settle(&self, seen: FailureBatch) {
        self.update(|failures| match failures.calls.saturating_sub(seen.calls) {
            0 => FailureBatch::NONE,
            calls => FailureBatch { calls, ..failures },
        });
    }

    fn update(&self, change: impl Fn(FailureBatch) -> FailureBatch) {
        // Sequentially consistent, see `Guard::canary_failed`. The closure never returns `None`.
        let change = |word| Some(change(FailureBatch::unpacked(word)).packed());
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
    }
}

impl FailureBatch {
    const NONE: Self = Self { calls: 0, smallest: Weight::FULL };

    fn packed(self) -> u64 {
        (self.calls << WEIGHT_BITS) | u64::from(self.smallest.ppm())
    }

    // The mask leaves 20 bits, so the cast is lossless.
    const fn unpacked(word: u64) -> Self {
        let ppm = (word & ((1 << WEIGHT_BITS) - 1)) as u32;
        Self { calls: word >> WEIGHT_BITS, smallest: Weight::from_ppm(ppm) }
    }
}

/// A weight is at most 10^6, which is below 2^20.
const WEIGHT_BITS: u32 = 20;
/// The number of calls saturates here.
const MAX_CALLS: u64 = (1 << (u64::BITS - WEIGHT_BITS)) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_failures_have_the_smallest_weight_until_they_are_settled() {
        let pending = PendingFailures::new();
        for percent in [50, 1, 10] {
            pending.add(2, Weight::from_percent(percent));
        }
        let seen = pending.load();
        assert_eq!(seen, FailureBatch { calls: 6, smallest: Weight::from_percent(1) });

        pending.add(1, Weight::from_percent(50));
        pending.settle(seen);
        assert_eq!(pending.load().calls, 1);
        pending.settle(pending.load());
        assert_eq!(pending.load(), FailureBatch::NONE);
    }

    #[test]
    fn the_number_of_calls_saturates() {
        let pending = PendingFailures::new();
        pending.add(u64::MAX, Weight::FULL);
        pending.add(u64::MAX, Weight::ZERO);
        assert_eq!(
            pending.load(),
            FailureBatch { calls: MAX_CALLS, smallest: Weight::from_ppm(1) }
        );
    }
}
