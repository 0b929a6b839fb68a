use std::sync::atomic::{AtomicU64, Ordering};

use canary_core::{Bucket, Channel, KeysSeen, PerChannel, Weight};

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

    pub(crate) fn counts(&self, weight: Weight) -> KeysSeen {
        let boundary = boundary(weight);
        let mut marked = PerChannel::<[usize; 2]>::default();
        let mut counts = KeysSeen::default();
        for word in 0..WORDS {
            let seen = PerChannel::from_fn(|channel: Channel| {
                self.cells[channel][word].load(Ordering::Relaxed)
            });
            let before = cells_before(boundary, word);
            for channel in Channel::ALL {
                for (marked, cells) in marked[channel].iter_mut().zip([before, !before]) {
                    *marked += (seen[channel] & cells).count_ones() as usize;
                }
            }
            // Keys of both channels rightly fall into the cell at the boundary.
            let at_boundary = if boundary / 64 == word { 1 << (boundary % 64) } else { 0 };
            counts.on_both += u64::from((seen.stable & seen.canary & !at_boundary).count_ones());
        }
        counts.seen = PerChannel::from_fn(|channel| {
            let [before, after] = marked[channel];
            estimate(before, boundary) + estimate(after, CELLS - boundary)
        });
        counts
    }
}

/// Which cells of a word come before the boundary.
const fn cells_before(boundary: usize, word: usize) -> u64 {
    match boundary.saturating_sub(64 * word) {
        cells @ 0..64 => (1 << cells) - 1,
        _ => u64::MAX,
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
    fn keys_are_counted_at_both_ends_of_the_weight() {
        for (weight, channel) in [(Weight::ZERO, Channel::Stable), (Weight::FULL, Channel::Canary)]
        {
            let seen = SeenKeys::new();
            for hash in [0, u64::MAX / 2, u64::MAX] {
                seen.mark(channel, StickyKey::from_hash(hash));
            }
            let counts = seen.counts(weight);
            assert_eq!((counts.seen[channel], counts.on_both), (3, 0), "{weight}");
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
