use canary_core::Bucket;

/// The salted hash of a key that identifies a caller.
///
/// ```
/// use tower_canary::select::StickyKey;
///
/// let key = StickyKey::new("checkout:1", "user-1");
/// assert_eq!(key.hash(), 0xbe64_50c3_656b_097e);
/// assert_eq!(key.bucket().index(), 743_718);
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub struct StickyKey(u64);

impl StickyKey {
    /// The maximum length of a key in bytes.
    ///
    /// The caller controls the key, and hashing takes time in proportion to its length.
    pub const MAX_LENGTH: usize = 256;

    pub(crate) const fn from_hash(hash: u64) -> Self {
        Self(hash)
    }

    /// Returns the hash.
    #[must_use]
    pub const fn hash(self) -> u64 {
        self.0
    }

    /// Returns the bucket, which is compared with the weight.
    #[must_use]
    pub const fn bucket(self) -> Bucket {
        Bucket::from_hash(self.0)
    }
}
