use std::{
    num::NonZeroUsize,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The places for calls that the canary may have in flight: of all threads, services and epochs.
///
/// It is the one number that all of the canary's calls write, and is there only if a limit is set.
pub(crate) struct ConcurrencyLimit {
    limit: NonZeroUsize,
    taken: AtomicUsize,
}

impl ConcurrencyLimit {
    pub(crate) const fn new(limit: NonZeroUsize) -> Self {
        Self { limit, taken: AtomicUsize::new(0) }
    }

    /// Takes a place, unless all are taken.
    pub(crate) fn try_take(&self) -> bool {
        // Nothing else is published by the number: each change of it is atomic, and that is all.
        self.taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                (taken < self.limit.get()).then_some(taken + 1)
            })
            .is_ok()
    }

    /// Takes a place, though it be one too many.
    pub(crate) fn take(&self) {
        self.taken.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::Relaxed);
    }
}
