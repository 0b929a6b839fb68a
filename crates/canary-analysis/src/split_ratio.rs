use canary_core::{Bucket, PerChannel, Weight};

/// The probability with which a call or key was assigned to the canary.
///
/// It is a ratio of two numbers of buckets, so that events with the same probability can be found
/// and added as integers. For a call that was assigned at random it is the [`Weight`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SplitRatio {
    canary: u32,
    all: u32,
}

impl SplitRatio {
    /// Returns the ratio for a call that was assigned at random with this weight.
    #[must_use]
    pub const fn of(weight: Weight) -> Self {
        Self { canary: weight.ppm(), all: Bucket::COUNT }
    }

    /// Returns the ratio for a key that is in one of `all` buckets, of which `canary` are assigned
    /// to the canary.
    ///
    /// Returns `None` if `all` is zero or above [`Bucket::COUNT`], or `canary` is above `all`.
    #[must_use]
    pub const fn try_new(canary: u32, all: u32) -> Option<Self> {
        if canary <= all && all > 0 && all <= Bucket::COUNT {
            Some(Self { canary, all })
        } else {
            None
        }
    }

    /// Returns the number of possible buckets that are assigned to the canary.
    #[must_use]
    pub const fn canary_buckets(self) -> u32 {
        self.canary
    }

    /// Returns the number of possible buckets.
    #[must_use]
    pub const fn all_buckets(self) -> u32 {
        self.all
    }

    /// Returns the probability of the canary, `0.0..=1.0`.
    #[must_use]
    pub fn probability(self) -> f64 {
        f64::from(self.canary) / f64::from(self.all)
    }

    /// Returns the probability of stable, `0.0..=1.0`. It is exact even if it is close to 0, where
    /// `1.0 - probability()` is not.
    pub(crate) fn complement(self) -> f64 {
        f64::from(self.all - self.canary) / f64::from(self.all)
    }

    /// Counts the picks of a channel whose probability is zero.
    pub(crate) const fn impossible(self, picks: PerChannel<u64>) -> u64 {
        match self.canary {
            0 => picks.canary,
            canary if canary == self.all => picks.stable,
            _ => 0,
        }
    }

    /// Returns whether the probability is 0 or 1. The channel of such an event is no evidence.
    #[must_use]
    pub const fn is_certain(self) -> bool {
        self.canary == 0 || self.canary == self.all
    }
}

impl From<Weight> for SplitRatio {
    fn from(weight: Weight) -> Self {
        Self::of(weight)
    }
}
