use std::collections::BTreeSet;

/// Remembers the counted receipts, in bounded memory.
///
/// When it is full, it forgets the oldest receipt. From then on it refuses receipts of that age or
/// older, so no receipt is admitted twice.
pub(super) struct ReplayGuard {
    admitted: BTreeSet<ReceiptKey>,
    /// The newest receipt that was forgotten.
    forgotten: Option<ReceiptKey>,
    capacity: usize,
}

/// The time and the id of a receipt, and the number of the series in which it counts. Ordered by
/// time.
pub(super) type ReceiptKey = (u32, u64, u8);

/// The reason for refusing a receipt.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum ReplayError {
    Used,
    /// Too old to know whether it was used.
    Forgotten,
}

impl ReplayGuard {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { admitted: BTreeSet::new(), forgotten: None, capacity }
    }

    /// Admits each key once.
    pub(super) fn admit(&mut self, key: ReceiptKey) -> Result<(), ReplayError> {
        if Some(key) <= self.forgotten {
            return Err(ReplayError::Forgotten);
        }
        if !self.admitted.insert(key) {
            return Err(ReplayError::Used);
        }
        if self.admitted.len() > self.capacity {
            self.forgotten = self.admitted.pop_first();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::*;

    proptest! {
        #[test]
        fn no_receipt_is_admitted_twice_and_memory_stays_bounded(
            keys in vec((0..8_u32, 0..8_u64, 0..2_u8), 0..200), capacity in 1..20_usize
        ) {
            let mut guard = ReplayGuard::new(capacity);
            let mut admitted = BTreeSet::new();
            for key in keys {
                match guard.admit(key) {
                    Ok(()) => prop_assert!(admitted.insert(key)),
                    Err(ReplayError::Used) => prop_assert!(admitted.contains(&key)),
                    Err(ReplayError::Forgotten) => prop_assert!(admitted.len() > capacity),
                }
                prop_assert!(guard.admitted.len() <= capacity);
            }
        }
    }

    #[test]
    fn the_oldest_receipts_are_forgotten_first() {
        let mut guard = ReplayGuard::new(2);
        for second in [3, 1, 2] {
            assert_eq!(guard.admit((second, 7, 0)), Ok(()));
        }
        assert_eq!(guard.admit((1, 7, 0)), Err(ReplayError::Forgotten));
        assert_eq!(guard.admit((0, 1, 0)), Err(ReplayError::Forgotten));
        assert_eq!(guard.admit((2, 7, 0)), Err(ReplayError::Used));
        assert_eq!(guard.admit((2, 7, 1)), Ok(()));
    }
}
