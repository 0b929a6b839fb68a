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

    pub(crate) const fn hash(self) -> u64 {
        self.key().hash()
    }

    const fn key(self) -> StickyKey {
        match self {
            Self::Sticky(key) | Self::Unique(key) => key,
        }
    }
}
