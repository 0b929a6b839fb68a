use std::sync::atomic::{AtomicU64, Ordering};

use crate::{control::callers::Callers, select::StickyKey};

/// The calls of each key in one shard of one epoch, to bound the part of the evidence that a single
/// key makes.
///
/// Keys share a fixed number of slots, by their hash, so that the memory is bounded. A slot counts
/// the calls of all its keys: a key is never underestimated, and a few keys that share the slot of a
/// busy key lose their calls as evidence with it.
///
/// Whether a call is evidence is decided before its channel is known, from earlier calls only, so
/// that the decision cannot favor a channel. The order of concurrent calls does not matter.
pub(crate) struct KeyShares {
    counted: AtomicU64,
    /// The number of slots with calls.
    used: AtomicU64,
    slots: Box<[Slot]>,
}

#[derive(Default)]
struct Slot {
    counted: AtomicU64,
    capped: AtomicU64,
}

/// The largest part of the calls with a key that one key may make as evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct KeyCap {
    ppm: u64,
}

impl KeyCap {
    pub(crate) const DEFAULT: Self = Self { ppm: 50_000 };
    const ALL: u64 = 1_000_000;

    /// Returns `None` unless `part` is above 0 and at most 1.
    pub(crate) fn try_new(part: f64) -> Option<Self> {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the part is within 0 to 1"
        )]
        let ppm = (part * 1e6).round() as u64;
        (part > 0.0 && part <= 1.0).then_some(Self { ppm: ppm.max(1) })
    }
}

impl KeyShares {
    pub(crate) fn new() -> Self {
        let slots = (0..SLOTS).map(|_| Slot::default()).collect();
        Self { counted: AtomicU64::new(0), used: AtomicU64::new(0), slots }
    }

    /// Counts a call of `key`, and returns whether it is evidence.
    pub(crate) fn admit(&self, key: StickyKey, cap: KeyCap) -> bool {
        let [.., high, low] = key.hash().to_be_bytes();
        let slot = &self.slots[usize::from(u16::from_be_bytes([high, low])) % SLOTS];
        let calls = slot.counted.load(Ordering::Relaxed);
        if calls >= FREE_CALLS && self.is_over(calls, cap) {
            slot.capped.fetch_add(1, Ordering::Relaxed);
            return false;
        }
        if calls == 0 {
            self.used.fetch_add(1, Ordering::Relaxed);
        }
        slot.counted.fetch_add(1, Ordering::Relaxed);
        self.counted.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Returns whether a key with this number of calls has made its part: more than the cap, and
    /// more than twice an equal part. With fewer than 20 keys, none could stay below 5 %.
    fn is_over(&self, calls: u64, cap: KeyCap) -> bool {
        let counted = self.counted.load(Ordering::Relaxed);
        let equal_part = counted / self.used.load(Ordering::Relaxed).max(1);
        calls >= (2 * equal_part).max(counted.saturating_mul(cap.ppm) / KeyCap::ALL)
    }

    pub(crate) fn add_to(&self, callers: &mut Callers) {
        callers.slots.resize(SLOTS, 0);
        for (calls, slot) in callers.slots.iter_mut().zip(&self.slots) {
            let capped = slot.capped.load(Ordering::Relaxed);
            *calls += slot.counted.load(Ordering::Relaxed) + capped;
            callers.capped += capped;
        }
    }
}

/// With 512 slots, one in 512 keys shares the slot of a busy key. They take 8 KiB for each shard
/// whose threads get calls with a key.
const SLOTS: usize = 512;

/// The number of calls of a key that are evidence in any case, so that a few first calls are not
/// judged by the part that they make of a small sum.
const FREE_CALLS: u64 = 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u64) -> StickyKey {
        StickyKey::new("salt", number.to_le_bytes())
    }

    #[test]
    fn a_busy_key_makes_a_twentieth_of_the_evidence_of_many_keys() {
        let shares = KeyShares::new();
        let mut busy = 0;
        let mut others = 0;
        for call in 0..40_000 {
            busy += u64::from(shares.admit(key(0), KeyCap::DEFAULT));
            others += u64::from(shares.admit(key(1 + call % 200), KeyCap::DEFAULT));
        }
        assert!(others > 39_000, "{others}");
        assert!(20 * busy <= busy + others + 20, "{busy} of {}", busy + others);
        assert!(busy > 1_500, "{busy}");
    }

    #[test]
    fn equally_busy_keys_lose_hardly_any_evidence_however_few_they_are() {
        for keys in [1, 2, 3, 10, 19, 40] {
            let shares = KeyShares::new();
            let admitted =
                (0..4_000).filter(|call| shares.admit(key(call % keys), KeyCap::DEFAULT));
            // Two keys may share a slot.
            assert!(admitted.count() > 3_900, "{keys} keys");
        }
    }

    #[test]
    fn a_part_is_above_zero_and_at_most_one() {
        assert!([0.05, 1.0, 1e-9].into_iter().all(|part| KeyCap::try_new(part).is_some()));
        assert!([0.0, 1.1, -1.0, f64::NAN].into_iter().all(|part| KeyCap::try_new(part).is_none()));
    }
}
