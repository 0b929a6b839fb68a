use std::{
    hash::{BuildHasher, RandomState},
    num::{NonZeroU32, NonZeroUsize},
    sync::atomic::{AtomicU32, AtomicUsize, Ordering},
};

use crate::select::StickyKey;

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

/// Limits the calls in flight of each sticky key.
///
/// Keys with the same slot share a limit. The memory is constant, however many keys there are, and
/// the random seed keeps callers from choosing keys with the slot of another one.
pub(crate) struct KeyConcurrencyLimit {
    limit: NonZeroU32,
    seed: RandomState,
    in_flight: Box<[AtomicU32; SLOTS]>,
}

impl KeyConcurrencyLimit {
    pub(crate) fn new(limit: NonZeroU32) -> Self {
        let in_flight = Box::new(std::array::from_fn(|_| AtomicU32::new(0)));
        Self { limit, seed: RandomState::new(), in_flight }
    }

    /// Acquires a permit, or returns false if the limit of the key is reached.
    pub(crate) fn try_acquire(&self, key: StickyKey) -> bool {
        // Relaxed, as above.
        self.slot(key)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |in_flight| {
                (in_flight < self.limit.get()).then_some(in_flight + 1)
            })
            .is_ok()
    }

    /// Acquires a permit even if the limit of the key is reached.
    pub(crate) fn force_acquire(&self, key: StickyKey) {
        self.slot(key).fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn release(&self, key: StickyKey) {
        self.slot(key).fetch_sub(1, Ordering::Relaxed);
    }

    fn slot(&self, key: StickyKey) -> &AtomicU32 {
        let [low, high, ..] = self.seed.hash_one(key.hash()).to_le_bytes();
        &self.in_flight[usize::from(u16::from_le_bytes([low, high])) % SLOTS]
    }
}

const SLOTS: usize = 4096;
