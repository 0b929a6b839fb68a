/// A number in `0..1_000_000` that decides the channel of a call.
///
/// A random draw gives each call a uniform bucket; a sticky key always gives the same bucket. The
/// call goes to the canary if [`Weight::admits`] the bucket. A higher weight therefore only adds
/// buckets, and a lower weight only removes some.
///
/// [`Weight::admits`]: crate::Weight::admits
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Bucket(u32);

impl Bucket {
    /// The number of buckets: one per part per million.
    pub const COUNT: u32 = 1_000_000;

    /// Returns the bucket of 32 random bits.
    ///
    /// Scaling, unlike a remainder, spreads the rounding over all buckets: the probability of each
    /// differs from a millionth by less than one part in four thousand.
    #[must_use]
    pub const fn from_random(bits: u32) -> Self {
        Self(((bits as u64 * Self::COUNT as u64) >> u32::BITS) as u32)
    }

    /// Returns the bucket of a 64-bit hash: `(hash * 1_000_000) >> 64`.
    ///
    /// ```
    /// # use canary_core::Bucket;
    /// // xxh64 of "checkout:1", 0x00, "user-1" with seed 0
    /// assert_eq!(Bucket::from_hash(0xbe64_50c3_656b_097e).index(), 743_718);
    /// ```
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "the upper word of a product with 10^6")]
    pub const fn from_hash(hash: u64) -> Self {
        Self(((hash as u128 * Self::COUNT as u128) >> u64::BITS) as u32)
    }

    /// Returns the number of the bucket, below [`Bucket::COUNT`].
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_map_to_the_published_buckets() {
        for (hash, bucket) in [
            (0xe934_a84a_db05_2768, 910_959),
            (0x3eb7_5642_69c1_0a86, 244_984),
            (0x984c_e2ad_5862_30c3, 594_923),
            (0x8de6_a807_e77c_b673, 554_300),
            (0x496c_42d6_92fc_57b0, 286_808),
        ] {
            assert_eq!(Bucket::from_hash(hash).index(), bucket);
        }
    }

    #[test]
    fn the_extreme_inputs_map_to_the_first_and_last_bucket() {
        assert_eq!(Bucket::from_random(0).index(), 0);
        assert_eq!(Bucket::from_random(u32::MAX).index(), Bucket::COUNT - 1);
        assert_eq!(Bucket::from_hash(0).index(), 0);
        assert_eq!(Bucket::from_hash(u64::MAX).index(), Bucket::COUNT - 1);
    }
}
