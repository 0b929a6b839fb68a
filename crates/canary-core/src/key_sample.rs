/// A sample of all sticky keys: one in a power of two, chosen by a hash with a seed.
///
/// It bounds the memory for keys: only the keys of the sample are recorded, with all their events.
///
/// The *seed* decides which keys are in the sample. Draw it at random and keep it with the
/// evidence: a caller who could compute the sample could fill it with keys of its own and push all
/// others out. The hash of the sample is independent of the [`Bucket`](crate::Bucket), so a sample
/// contains the same fraction of the keys of both channels. A narrower sample of the same seed is a
/// subset of a wider one.
///
/// ```
/// use canary_core::KeySample;
///
/// let seed = 0x5eed; // use a random number
/// let quarter = KeySample::seeded(seed).halved().halved();
/// assert_eq!(quarter.one_in(), 4);
/// let held = (0..1_000).filter(|hash| quarter.holds(*hash)).count();
/// assert!((200..300).contains(&held));
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct KeySample {
    seed: u64,
    /// The number of trailing zero bits of a sampled hash, once it is mixed with the seed.
    halvings: u32,
}

impl KeySample {
    /// All keys, with the seed 0. Halves of it can be computed by anyone who knows the hashes.
    pub const ALL: Self = Self::seeded(0);

    /// Returns the sample of all keys whose halves are chosen by this seed.
    #[must_use]
    pub const fn seeded(seed: u64) -> Self {
        Self { seed, halvings: 0 }
    }

    /// Returns the sample after this number of halvings in total, at most 63.
    #[must_use]
    pub const fn after(self, halvings: u32) -> Self {
        let halvings = if halvings < MAX_HALVINGS { halvings } else { MAX_HALVINGS };
        Self { seed: self.seed, halvings }
    }

    /// Returns one half of the sample.
    #[must_use]
    pub const fn halved(self) -> Self {
        self.after(self.halvings + 1)
    }

    /// Returns the intersection of two samples of one seed, which is the narrower one. The seed of
    /// `self` applies.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        if self.halvings < other.halvings { self.after(other.halvings) } else { self }
    }

    /// Returns whether the sample contains the key with this hash.
    #[must_use]
    pub const fn holds(self, hash: u64) -> bool {
        mixed(hash ^ self.seed).trailing_zeros() >= self.halvings
    }

    /// Returns the seed.
    #[must_use]
    pub const fn seed(self) -> u64 {
        self.seed
    }

    /// Returns the number of halvings.
    #[must_use]
    pub const fn halvings(self) -> u32 {
        self.halvings
    }

    /// Returns `n` if the sample contains one in `n` keys.
    #[must_use]
    pub const fn one_in(self) -> u64 {
        1 << self.halvings
    }
}

/// Mixes the bits, so that each bit of the result depends on all bits of `bits`: the output step of
/// SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014).
const fn mixed(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

const MAX_HALVINGS: u32 = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bucket, Weight};

    #[test]
    fn a_sample_has_the_stated_size_on_both_channels() {
        let sample = KeySample::seeded(7).after(3);
        let weight = Weight::from_percent(10);
        let hashes = (1..=100_000).map(|number| mixed(mixed(number)));
        let (held, canary) = hashes.filter(|hash| sample.holds(*hash)).fold((0, 0), |all, hash| {
            (all.0 + 1, all.1 + u32::from(weight.admits(Bucket::from_hash(hash))))
        });
        assert!((12_000..13_000).contains(&held), "{held}");
        assert!((1_130..1_370).contains(&canary), "{canary}");
    }

    #[test]
    fn keys_that_fill_one_sample_are_spread_over_a_sample_of_another_seed() {
        let known = KeySample::seeded(1).after(12);
        let chosen: Vec<u64> = (0..).filter(|hash| known.holds(*hash)).take(1_000).collect();
        let held_by = |seed| {
            let sample = KeySample::seeded(seed).after(3);
            chosen.iter().filter(|hash| sample.holds(**hash)).count()
        };
        assert_eq!(held_by(1), 1_000);
        assert!((80..180).contains(&held_by(2)), "{}", held_by(2));
    }

    #[test]
    fn a_sample_of_the_greatest_depth_keeps_its_seed() {
        let mut sample = KeySample::seeded(9);
        (0..100).for_each(|_| sample = sample.halved());
        assert_eq!(sample, KeySample::seeded(9).after(u32::MAX));
        assert_eq!((sample.seed(), sample.halvings()), (9, 63));
    }
}
