use std::sync::atomic::{AtomicU64, Ordering};

use canary_core::Weight;

/// Failed calls of the canary's that may not be in the evidence yet; some may be counted twice,
/// none is missed.
///
/// Their number and the smallest of their weights stand in one word, so that no thread sees one
/// without the other. A failure is the stronger evidence the smaller its weight is: at the smallest
/// one, all of them together are at least as strong as they truly are.
#[derive(Debug)]
pub(super) struct PendingFailures(AtomicU64);

/// What was pending at one moment.
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
        // At a weight of zero nothing can be told from a failure, so that it must not price others.
        let weight = if weight == Weight::ZERO { Weight::from_ppm(1) } else { weight };
        self.update(|failures| FailureBatch {
            calls: failures.calls.saturating_add(calls).min(MOST),
            smallest: failures.smallest.min(weight),
        });
    }

    pub(super) fn load(&self) -> FailureBatch {
        FailureBatch::unpacked(self.0.load(Ordering::SeqCst))
    }

    /// Takes off what was `seen` and is in the evidence now.
    pub(super) fn settle(&self, seen: FailureBatch) {
        self.update(|failures| match failures.calls.saturating_sub(seen.calls) {
            0 => FailureBatch::NONE,
            calls => FailureBatch { calls, ..failures },
        });
    }

    fn update(&self, change: impl Fn(FailureBatch) -> FailureBatch) {
        // Sequentially consistent, see where the lock is released. It cannot fail.
        let change = |word| Some(change(FailureBatch::unpacked(word)).packed());
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, change);
    }
}

impl FailureBatch {
    const NONE: Self = Self { calls: 0, smallest: Weight::FULL };

    fn packed(self) -> u64 {
        (self.calls << WEIGHT_BITS) | u64::from(self.smallest.ppm())
    }

    // The mask leaves 20 bits of the word, so that the cast loses nothing.
    const fn unpacked(word: u64) -> Self {
        let ppm = (word & ((1 << WEIGHT_BITS) - 1)) as u32;
        Self { calls: word >> WEIGHT_BITS, smallest: Weight::from_ppm(ppm) }
    }
}

/// A weight is at most 10^6, which is below 2^20.
const WEIGHT_BITS: u32 = 20;
/// More calls than that are as many.
const MOST: u64 = (1 << (u64::BITS - WEIGHT_BITS)) - 1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_pending_is_priced_at_the_smallest_weight_until_it_is_settled() {
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
    fn more_calls_than_fit_are_as_many() {
        let pending = PendingFailures::new();
        pending.add(u64::MAX, Weight::FULL);
        pending.add(u64::MAX, Weight::ZERO);
        assert_eq!(pending.load(), FailureBatch { calls: MOST, smallest: Weight::from_ppm(1) });
    }
}
