/// A position in `0..1_000_000` by which a call is assigned to a channel.
///
/// All the ways to assign a call end here: a random draw gives a uniform bucket per call, a sticky key
/// gives the same bucket for the same key. The call is the canary's if [`Weight::admits`] the bucket, so
/// raising the weight only adds buckets, and lowering it only removes some.
///
/// [`Weight::admits`]: crate::Weight::admits
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Bucket(u32);

impl Bucket {
    /// How many buckets there are: one per part per million.
    pub const COUNT: u32 = 1_000_000;

    /// The bucket of 32 random bits.
    ///
    /// The bits are scaled, not reduced modulo a million, so that each bucket's probability differs from
    /// a millionth by less than one part in four thousand, in no particular direction.
    #[must_use]
    pub const fn from_random(bits: u32) -> Self {
        Self(((bits as u64 * Self::COUNT as u64) >> u32::BITS) as u32)
    }

    /// The bucket of a 64-bit hash: `(hash * 1_000_000) >> 64`.
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

    /// The bucket's number, below [`Bucket::COUNT`].
    #[must_use]
    pub const fn index(self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_vectors_hold() {
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
    fn the_ends_of_the_range_are_the_first_and_the_last_bucket() {
        assert_eq!(Bucket::from_random(0).index(), 0);
        assert_eq!(Bucket::from_random(u32::MAX).index(), Bucket::COUNT - 1);
        assert_eq!(Bucket::from_hash(0).index(), 0);
        assert_eq!(Bucket::from_hash(u64::MAX).index(), Bucket::COUNT - 1);
    }
}
