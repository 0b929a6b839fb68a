use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
};

/// Limits the calls in flight in all threads, services and epochs.
///
/// Every call writes the shared counter, so there is none unless a limit is set.
pub(crate) struct ConcurrencyLimit {
    limit: NonZeroUsize,
    in_flight: AtomicUsize,
}

impl ConcurrencyLimit {
    pub(crate) const fn new(limit: NonZeroUsize) -> Self {
        Self { limit, in_flight: AtomicUsize::new(0) }
    }

    /// Acquires a permit, or returns false if the limit is reached.
    pub(crate) fn try_acquire(&self) -> bool {
        // Relaxed: the counter synchronizes no other memory.
        self.in_flight
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |in_flight| {
                (in_flight < self.limit.get()).then_some(in_flight + 1)
            })
            .is_ok()
    }

    /// Acquires a permit even if the limit is reached.
    pub(crate) fn force_acquire(&self) {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn release(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
