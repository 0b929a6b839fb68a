/// A part of all sticky keys: one of a power of two, chosen by hash.
///
/// Where there are too many keys to remember each, those of a sample are remembered all. It is chosen
/// by the last bits of the hash, and the [`Bucket`](crate::Bucket) comes from the first ones: whether a
/// key is in the sample has nothing to do with its channel. A narrower sample is a part of a wider one.
///
/// ```
/// use canary_core::KeySample;
///
/// let quarter = KeySample::ALL.halved().halved();
/// assert_eq!(quarter.one_in(), 4);
/// assert!(quarter.holds(0b1100));
/// assert!(!quarter.holds(0b1110));
/// assert!(KeySample::ALL.holds(0b1110));
/// ```
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct KeySample {
    /// So many last bits of a hash are zero.
    halvings: u32,
}

impl KeySample {
    /// All keys.
    pub const ALL: Self = Self { halvings: 0 };

    /// The sample that is left after so many halvings, up to 63.
    #[must_use]
    pub const fn after(halvings: u32) -> Self {
        Self { halvings: if halvings < MOST { halvings } else { MOST } }
    }

    /// Half of the sample.
    #[must_use]
    pub const fn halved(self) -> Self {
        Self::after(self.halvings + 1)
    }

    /// What is in both samples: the narrower one.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        if self.halvings < other.halvings { other } else { self }
    }

    /// Whether the key of this hash is in the sample.
    #[must_use]
    pub const fn holds(self, hash: u64) -> bool {
        hash.trailing_zeros() >= self.halvings
    }

    /// How often it was halved.
    #[must_use]
    pub const fn halvings(self) -> u32 {
        self.halvings
    }

    /// Of how many keys one is in the sample.
    #[must_use]
    pub const fn one_in(self) -> u64 {
        1 << self.halvings
    }
}

const MOST: u32 = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bucket, Weight};

    #[test]
    fn a_sample_is_as_large_as_it_says_on_both_channels() {
        // Hashes that are spread over all of `u64`, by the golden ratio.
        let hashes = (1..=100_000_u64).map(|number| {
            let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (mixed >> 32)
        });
        let sample = KeySample::after(3);
        let weight = Weight::from_percent(10);
        let (held, canary) = hashes.filter(|hash| sample.holds(*hash)).fold((0, 0), |all, hash| {
            (all.0 + 1, all.1 + u32::from(weight.admits(Bucket::from_hash(hash))))
        });
        assert!((12_000..13_000).contains(&held), "{held}");
        assert!((1_130..1_370).contains(&canary), "{canary}");
    }

    #[test]
    fn a_sample_is_never_empty() {
        let mut sample = KeySample::ALL;
        (0..100).for_each(|_| sample = sample.halved());
        assert_eq!(sample, KeySample::after(u32::MAX));
        assert!(sample.holds(0) && sample.holds(1 << 63));
    }
}
