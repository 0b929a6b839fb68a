use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Limits the memory held by all mirrored requests.
pub(crate) struct MemoryBudget {
    limit: usize,
    used: AtomicUsize,
}

/// A part of the [`MemoryBudget`], released on drop.
pub(crate) struct Reservation {
    budget: Arc<MemoryBudget>,
    bytes: usize,
}

/// The error of a reservation that would exceed the budget.
#[derive(Debug)]
pub(crate) struct MemoryFull;

impl MemoryBudget {
    pub(crate) const fn new(limit: usize) -> Self {
        Self { limit, used: AtomicUsize::new(0) }
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Reservation {
    pub(crate) const fn new(budget: Arc<MemoryBudget>) -> Self {
        Self { budget, bytes: 0 }
    }

    /// Reserves `bytes` more, or nothing if the budget would be exceeded.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), MemoryFull> {
        let add = |used: usize| used.checked_add(bytes).filter(|total| *total <= self.budget.limit);
        let used = &self.budget.used;
        used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).map_err(|_| MemoryFull)?;
        self.bytes += bytes;
        Ok(())
    }

    /// Adds another reservation of the same budget.
    pub(crate) fn merge(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reservations_stay_within_the_limit_and_are_released_on_drop() {
        let budget = Arc::new(MemoryBudget::new(10));
        let mut first = Reservation::new(Arc::clone(&budget));
        let mut second = Reservation::new(Arc::clone(&budget));
        first.grow(6).unwrap();
        second.grow(5).unwrap_err();
        second.grow(4).unwrap();
        first.grow(usize::MAX).unwrap_err();
        assert_eq!(budget.used(), 10);
        drop(first);
        second.grow(6).unwrap();
        drop(second);
        assert_eq!(budget.used(), 0);
    }
}
