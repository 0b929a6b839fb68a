use canary_core::{AssignmentReason, Bucket};

use crate::select::{StickyKey, rng};

/// The identity under which the events of a call are recorded.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub(crate) enum CallKey {
    /// The key of a sticky call.
    Sticky(StickyKey),
    /// A random number, for a call without a key. No other call has it.
    Unique(StickyKey),
}

impl CallKey {
    /// Draws the identity of a call without a key.
    pub(crate) fn unique() -> Self {
        Self::Unique(StickyKey::from_hash(rng::draw_bits()))
    }

    pub(crate) const fn bucket(self) -> Bucket {
        self.key().bucket()
    }

    pub(crate) const fn reason(self) -> AssignmentReason {
        match self {
            Self::Sticky(_) => AssignmentReason::Sticky,
            Self::Unique(_) => AssignmentReason::Random,
        }
    }

    /// Returns the part of the hash under which the caller's ratings are recorded, or `None` without
    /// a key. It tells nothing about the bucket, which comes from the other half.
    pub(crate) const fn tag(self) -> Option<u32> {
        match self {
            Self::Sticky(key) => {
                let [.., a, b, c, d] = key.hash().to_be_bytes();
                Some(u32::from_be_bytes([a, b, c, d]))
            }
            Self::Unique(_) => None,
        }
    }

    pub(crate) const fn hash(self) -> u64 {
        self.key().hash()
    }

    const fn key(self) -> StickyKey {
        match self {
            Self::Sticky(key) | Self::Unique(key) => key,
        }
    }
}
