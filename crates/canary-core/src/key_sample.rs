/// A sample of all sticky keys: one in a power of two, chosen by hash.
///
/// It bounds the memory for keys: only the keys of the sample are recorded, with all their events.
/// The sample depends on the last bits of the hash and the [`Bucket`](crate::Bucket) on the first
/// bits, so sample and channel are independent. A narrower sample is a subset of a wider one.
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
    /// The number of trailing zero bits of a sampled hash.
    halvings: u32,
}

impl KeySample {
    /// All keys.
    pub const ALL: Self = Self { halvings: 0 };

    /// Returns the sample after this number of halvings, at most 63.
    #[must_use]
    pub const fn after(halvings: u32) -> Self {
        Self { halvings: if halvings < MAX_HALVINGS { halvings } else { MAX_HALVINGS } }
    }

    /// Returns one half of the sample.
    #[must_use]
    pub const fn halved(self) -> Self {
        Self::after(self.halvings + 1)
    }

    /// Returns the intersection of both samples, which is the narrower one.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        if self.halvings < other.halvings { other } else { self }
    }

    /// Returns whether the sample contains the key with this hash.
    #[must_use]
    pub const fn holds(self, hash: u64) -> bool {
        hash.trailing_zeros() >= self.halvings
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

const MAX_HALVINGS: u32 = 63;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Bucket, Weight};

    #[test]
    fn a_sample_has_the_stated_size_on_both_channels() {
        // Multiplying by the golden ratio spreads the hashes over all of `u64`.
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
