use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

/// Remembers the used receipts, in bounded memory.
///
/// Receipts are grouped by the interval in which they were issued. When the guard is full, it closes
/// the largest interval: it forgets the receipts of the interval, and from then on refuses all of
/// them. So no receipt is admitted twice, and a flood excludes only receipts of the same time.
pub(super) struct ReplayGuard {
    intervals: BTreeMap<u32, Interval>,
    /// The length of an interval in seconds.
    length: u32,
    max_age: u32,
    /// The number of remembered receipts.
    remembered: usize,
    capacity: usize,
}

enum Interval {
    Open(BTreeSet<ReceiptKey>),
    Closed,
}

/// The time and the id of a receipt, and the number of the series in which it counts.
pub(super) type ReceiptKey = (u32, u64, u8);

/// The reason for refusing a receipt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReplayError {
    Used,
    /// It is unknown whether the receipt was used.
    Forgotten,
}

impl ReplayGuard {
    pub(super) fn new(capacity: usize, max_age: Duration) -> Self {
        let max_age = u32::try_from(max_age.as_secs()).unwrap_or(u32::MAX);
        let length = max_age.div_ceil(INTERVALS).max(1);
        Self { intervals: BTreeMap::new(), length, max_age, remembered: 0, capacity }
    }

    /// Admits each key once. `now` is in seconds since 1970.
    pub(super) fn admit(&mut self, key: ReceiptKey, now: u32) -> Result<(), ReplayError> {
        self.forget_expired(now);
        let interval = key.0 / self.length;
        match self.intervals.get(&interval) {
            Some(Interval::Closed) => return Err(ReplayError::Forgotten),
            Some(Interval::Open(used)) if used.contains(&key) => return Err(ReplayError::Used),
            _ => {}
        }
        if self.remembered == self.capacity && self.close_largest() == Some(interval) {
            return Err(ReplayError::Forgotten);
        }
        let open = || Interval::Open(BTreeSet::new());
        if let Interval::Open(used) = self.intervals.entry(interval).or_insert_with(open) {
            used.insert(key);
            self.remembered += 1;
        }
        Ok(())
    }

    /// Removes the intervals whose receipts have all expired.
    fn forget_expired(&mut self, now: u32) {
        let oldest = now.saturating_sub(self.max_age) / self.length;
        while let Some(entry) = self.intervals.first_entry()
            && *entry.key() < oldest
        {
            self.remembered -= entry.remove().len();
        }
    }

    /// Closes the interval with the most receipts, and the oldest one among equals. Returns it.
    fn close_largest(&mut self) -> Option<u32> {
        let (number, interval) =
            self.intervals.iter_mut().rev().max_by_key(|(_, interval)| interval.len())?;
        self.remembered -= interval.len();
        *interval = Interval::Closed;
        Some(*number)
    }
}

impl Interval {
    fn len(&self) -> usize {
        match self {
            Self::Open(used) => used.len(),
            Self::Closed => 0,
        }
    }
}

/// The number of intervals in the lifetime of a receipt. With more, a flood excludes fewer receipts
/// of other users.
const INTERVALS: u32 = 1024;

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    proptest! {
        #[test]
        fn no_receipt_is_admitted_twice_and_memory_stays_bounded(
            keys in vec((0..40_u32, 0..8_u64, 0..2_u8), 0..200),
            capacity in 1..20_usize,
            max_age in 1..30_u64,
        ) {
            let mut guard = ReplayGuard::new(capacity, Duration::from_secs(max_age));
            let mut admitted = BTreeSet::new();
            let mut now = 0;
            for key in keys {
                now = now.max(key.0);
                // Expired receipts are refused before they reach the guard.
                if u64::from(now - key.0) > max_age {
                    continue;
                }
                match guard.admit(key, now) {
                    Ok(()) => prop_assert!(admitted.insert(key)),
                    Err(ReplayError::Used) => prop_assert!(admitted.contains(&key)),
                    Err(ReplayError::Forgotten) => prop_assert!(admitted.len() >= capacity),
                }
                prop_assert!(guard.remembered <= capacity);
                let sizes: usize = guard.intervals.values().map(Interval::len).sum();
                prop_assert_eq!(sizes, guard.remembered);
            }
        }
    }

    #[test]
    fn the_oldest_of_equal_intervals_is_closed_first() {
        let mut guard = ReplayGuard::new(2, Duration::from_secs(1024));
        for second in [3, 1, 2] {
            assert_eq!(guard.admit((second, 7, 0), 3), Ok(()));
        }
        assert_eq!(guard.admit((1, 7, 0), 3), Err(ReplayError::Forgotten));
        assert_eq!(guard.admit((2, 7, 0), 3), Err(ReplayError::Used));
    }

    #[test]
    fn a_flood_excludes_only_receipts_of_the_same_time() {
        let mut guard = ReplayGuard::new(100, HOUR);
        let admitted = (0..1_000).filter(|id| guard.admit((2_000, *id, 0), 2_000).is_ok()).count();
        assert_eq!(admitted, 100);
        for second in [0, 1_000, 1_990, 2_010] {
            assert_eq!(guard.admit((second, 7, 0), 2_010), Ok(()), "{second}");
        }
        assert_eq!(guard.admit((2_000, 5_000, 0), 2_010), Err(ReplayError::Forgotten));
    }

    #[test]
    fn expired_receipts_make_room() {
        let mut guard = ReplayGuard::new(1, HOUR);
        assert_eq!(guard.admit((0, 1, 0), 0), Ok(()));
        assert_eq!(guard.admit((4_000, 2, 0), 4_000), Ok(()));
        assert_eq!(guard.intervals.len(), 1);
    }
}
