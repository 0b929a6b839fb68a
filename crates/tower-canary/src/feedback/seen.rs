use std::collections::BTreeSet;

/// The receipts that counted, in bounded memory.
///
/// What is forgotten is refused: the oldest receipts go first, and nothing older than they were is
/// admitted any more. So none is admitted twice, however many come.
pub(super) struct SeenReceipts {
    seen: BTreeSet<Key>,
    /// The latest one forgotten.
    forgotten: Option<Key>,
    capacity: usize,
}

/// A receipt's time and id, and who rates with it. Keys are ordered by time.
pub(super) type Key = (u32, u64, u8);

/// Why a receipt is not admitted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum NotAdmitted {
    Used,
    /// Nobody knows any more whether it was used.
    Forgotten,
}

impl SeenReceipts {
    pub(super) const fn new(capacity: usize) -> Self {
        Self { seen: BTreeSet::new(), forgotten: None, capacity }
    }

    /// Admits a receipt once.
    pub(super) fn admit(&mut self, key: Key) -> Result<(), NotAdmitted> {
        if Some(key) <= self.forgotten {
            return Err(NotAdmitted::Forgotten);
        }
        if !self.seen.insert(key) {
            return Err(NotAdmitted::Used);
        }
        if self.seen.len() > self.capacity {
            self.forgotten = self.seen.pop_first();
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
            let mut seen = SeenReceipts::new(capacity);
            let mut admitted = BTreeSet::new();
            for key in keys {
                match seen.admit(key) {
                    Ok(()) => prop_assert!(admitted.insert(key)),
                    Err(NotAdmitted::Used) => prop_assert!(admitted.contains(&key)),
                    Err(NotAdmitted::Forgotten) => prop_assert!(admitted.len() > capacity),
                }
                prop_assert!(seen.seen.len() <= capacity);
            }
        }
    }

    #[test]
    fn the_oldest_are_forgotten_first_and_newer_ones_are_not_refused() {
        let mut seen = SeenReceipts::new(2);
        for second in [3, 1, 2] {
            assert_eq!(seen.admit((second, 7, 0)), Ok(()));
        }
        assert_eq!(seen.admit((1, 7, 0)), Err(NotAdmitted::Forgotten));
        assert_eq!(seen.admit((0, 1, 0)), Err(NotAdmitted::Forgotten));
        assert_eq!(seen.admit((2, 7, 0)), Err(NotAdmitted::Used));
        assert_eq!(seen.admit((2, 7, 1)), Ok(()));
    }
}
