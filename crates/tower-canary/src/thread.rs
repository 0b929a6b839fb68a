//! What each thread has of its own, so that calls on two threads do not meet.

use canary_core::Bucket;

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

/// Draws a bucket, all of them being equally likely.
///
/// It has to be fair, and fast; nobody gains by guessing it. So the generator is a small one, seeded for
/// each thread by the one of `rand`'s that is fit for secrets.
pub(crate) fn draw() -> Bucket {
    use std::cell::RefCell;

    use rand::{Rng, SeedableRng, rngs::SmallRng};

    thread_local! {
        static DRAWS: RefCell<SmallRng> = RefCell::new(SmallRng::from_rng(&mut rand::rng()));
    }
    Bucket::from_random(DRAWS.with_borrow_mut(SmallRng::next_u32))
}

#[cfg(all(test, not(canary_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_tenth_of_the_buckets_is_drawn_as_often() {
        const DRAWS: u32 = 200_000;
        let mut tenths = [0_u32; 10];
        for _ in 0..DRAWS {
            tenths[(draw().index() / (Bucket::COUNT / 10)) as usize] += 1;
        }
        // Seven standard deviations.
        assert!(tenths.iter().all(|drawn| drawn.abs_diff(DRAWS / 10) < 940), "{tenths:?}");
    }

    #[test]
    fn threads_differ_in_their_shards_and_their_draws() {
        let here = (shard(), [(); 8].map(|()| draw()));
        let there = std::thread::spawn(|| (shard(), [(); 8].map(|()| draw()))).join().unwrap();
        assert_ne!(here.0, there.0);
        assert_ne!(here.1, there.1);
        assert_eq!(shard(), here.0);
    }
}
