//! Assigns each thread a shard, so that calls on two threads write different counters.

/// The shard of the thread that asks: threads take numbers in the order of their first call.
#[cfg(not(canary_loom))]
pub(crate) fn shard() -> usize {
    use std::{
        cell::Cell,
        sync::atomic::{AtomicUsize, Ordering},
    };

    const NONE: usize = usize::MAX;
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    // Made at compile time and never dropped, so that it is there from a thread's first instruction to
    // its last, and reading it is one.
    thread_local! {
        static SHARD: Cell<usize> = const { Cell::new(NONE) };
    }
    let shard = SHARD.get();
    if shard != NONE {
        return shard;
    }
    let shard = THREADS.fetch_add(1, Ordering::Relaxed);
    SHARD.set(shard);
    shard
}

#[cfg(canary_loom)]
pub(crate) fn shard() -> usize {
    0
}

#[cfg(all(test, not(canary_loom)))]
mod tests {
    use super::*;

    #[test]
    fn threads_have_different_shards() {
        let here = shard();
        let there = std::thread::spawn(shard).join().unwrap();
        assert_ne!(here, there);
        assert_eq!(shard(), here);
    }
}
