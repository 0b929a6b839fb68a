use std::sync::atomic::{AtomicU64, Ordering};

use canary_core::{Bucket, Channel, KeyCounts, PerChannel, Weight};

use crate::select::StickyKey;

/// Which keys each channel served in an epoch, by the first 16 bits of their hashes.
///
/// Buckets are in the order of hashes, so the cells before the weight's are the canary's and those after
/// it stable's, if assignment is as sticky as it should be: a cell that both marked holds a key that
/// changed the channel.
pub(crate) struct SeenKeys {
    cells: PerChannel<Box<[AtomicU64; WORDS]>>,
}

impl SeenKeys {
    pub(crate) fn new() -> Self {
        let cells = || Box::new(std::array::from_fn(|_| AtomicU64::new(0)));
        Self { cells: PerChannel::from_fn(|_| cells()) }
    }

    pub(crate) fn mark(&self, channel: Channel, key: StickyKey) {
        let cell = cell_of(key.hash());
        let (word, bit) = (&self.cells[channel][cell / 64], 1 << (cell % 64));
        // Most keys have been seen, and a word that nobody writes stays in all caches.
        if word.load(Ordering::Relaxed) & bit == 0 {
            word.fetch_or(bit, Ordering::Relaxed);
        }
    }

    pub(crate) fn counts(&self, weight: Weight) -> KeyCounts {
        let boundary = boundary(weight);
        let is_marked = |channel: Channel, cell: usize| {
            self.cells[channel][cell / 64].load(Ordering::Relaxed) & (1 << (cell % 64)) != 0
        };
        let seen_in = |channel, cells: std::ops::Range<usize>| {
            let marked = cells.clone().filter(|cell| is_marked(channel, *cell)).count();
            estimate(marked, cells.len())
        };
        let on_both = (0..CELLS)
            .filter(|cell| *cell != boundary)
            .filter(|cell| Channel::ALL.into_iter().all(|channel| is_marked(channel, *cell)));
        let mut counts = KeyCounts::default();
        counts.seen = PerChannel::from_fn(|channel| {
            seen_in(channel, 0..boundary) + seen_in(channel, boundary..CELLS)
        });
        counts.on_both = on_both.count() as u64;
        counts
    }
}

/// How many keys fell into `cells` cells, if `marked` of them got one: linear counting (Whang,
/// Vander-Zanden, Taylor: "A linear-time probabilistic counting algorithm for database applications",
/// 1990).
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "65,536 cells, and the logarithm of at most as much"
)]
fn estimate(marked: usize, cells: usize) -> u64 {
    // When all are marked, there are at least as many keys as would leave half a cell.
    let unmarked = ((cells - marked) as f64).max(0.5);
    if marked == 0 { 0 } else { (cells as f64 * (cells as f64 / unmarked).ln()).round() as u64 }
}

#[expect(clippy::cast_possible_truncation, reason = "16 bits")]
const fn cell_of(hash: u64) -> usize {
    (hash >> (u64::BITS - CELLS.ilog2())) as usize
}

/// The cell in which the canary's keys end and stable's begin.
fn boundary(weight: Weight) -> usize {
    usize::try_from(u64::from(weight.ppm()) * CELLS as u64 / u64::from(Bucket::COUNT))
        .expect("at most the number of cells")
}

const CELLS: usize = 1 << 16;
const WORDS: usize = CELLS / 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u32) -> StickyKey {
        StickyKey::new("salt", number.to_le_bytes())
    }

    #[test]
    fn keys_are_counted_within_a_few_percent() {
        for keys in [1, 100, 10_000, 200_000] {
            for weight in [Weight::from_ppm(1_000), Weight::from_percent(30)] {
                let seen = SeenKeys::new();
                let mut exactly = PerChannel::default();
                for key in (0..keys).map(key) {
                    let channel =
                        if weight.admits(key.bucket()) { Channel::Canary } else { Channel::Stable };
                    seen.mark(channel, key);
                    exactly[channel] += 1;
                }
                let counts = seen.counts(weight);
                assert_eq!(counts.on_both, 0, "{keys} keys at {weight}");
                for channel in Channel::ALL {
                    let (seen, exactly) = (counts.seen[channel], exactly[channel]);
                    let error = seen.abs_diff(exactly);
                    assert!(
                        error <= 2 + exactly / 20,
                        "{seen} for {exactly} of {keys} at {weight}"
                    );
                }
            }
        }
    }

    #[test]
    fn a_key_that_both_channels_served_is_noticed() {
        let weight = Weight::from_percent(50);
        let seen = SeenKeys::new();
        for channel in [Channel::Canary, Channel::Canary, Channel::Stable] {
            seen.mark(channel, key(1));
        }
        seen.mark(Channel::Canary, key(2));
        assert_eq!(seen.counts(weight).on_both, 1);
    }
}
