use std::cell::RefCell;

use canary_core::Bucket;
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// Draws a bucket from the uniform distribution.
///
/// It needs uniformity and speed, but not unpredictability. Each thread has a small generator,
/// which is seeded once by the cryptographic generator of `rand`.
#[must_use]
pub fn draw() -> Bucket {
    Bucket::from_random(GENERATOR.with_borrow_mut(SmallRng::next_u32))
}

/// Draws 64 random bits, as [`draw`] does.
#[must_use]
pub(crate) fn draw_bits() -> u64 {
    GENERATOR.with_borrow_mut(SmallRng::next_u64)
}

thread_local! {
    static GENERATOR: RefCell<SmallRng> = RefCell::new(SmallRng::from_rng(&mut rand::rng()));
}

#[cfg(all(test, not(canary_loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_tenth_of_the_buckets_is_drawn_equally_often() {
        const DRAWS: u32 = 200_000;
        let mut tenths = [0_u32; 10];
        for _ in 0..DRAWS {
            tenths[(draw().index() / (Bucket::COUNT / 10)) as usize] += 1;
        }
        // Seven standard deviations.
        assert!(tenths.iter().all(|drawn| drawn.abs_diff(DRAWS / 10) < 940), "{tenths:?}");
    }

    #[test]
    fn threads_draw_different_buckets() {
        let draws = || [(); 8].map(|()| draw());
        assert_ne!(draws(), std::thread::spawn(draws).join().unwrap());
    }
}
