//! Assigns each thread a shard, so that calls on two threads write different counters.

/// Returns the shard of the current thread. Threads are numbered in the order of their first call.
#[cfg(not(canary_loom))]
pub(crate) fn shard() -> usize {
    use std::{
        cell::Cell,
        sync::atomic::{AtomicUsize, Ordering},
    };

    const NONE: usize = usize::MAX;
    static THREADS: AtomicUsize = AtomicUsize::new(0);
    // `const`-initialized and without a destructor: usable during thread start and exit, and read
    // with one instruction.
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
