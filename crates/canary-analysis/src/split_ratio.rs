use canary_core::{Bucket, PerChannel, Weight};

/// The probability with which an event's call or key was assigned to the canary.
///
/// It is kept as the ratio of two numbers of buckets, so that events at the same odds are found
/// again and added as integers. For a call assigned at random it is the [`Weight`].
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct SplitRatio {
    canary: u32,
    all: u32,
}

impl SplitRatio {
    /// The coin tossed for each call at this weight.
    #[must_use]
    pub const fn of(weight: Weight) -> Self {
        Self { canary: weight.ppm(), all: Bucket::COUNT }
    }

    /// The coin of a key known to lie in one of `all` buckets, of which `canary` go to the canary.
    ///
    /// None if `all` is zero, `canary` above `all`, or `all` above [`Bucket::COUNT`].
    #[must_use]
    pub const fn try_new(canary: u32, all: u32) -> Option<Self> {
        if canary <= all && all > 0 && all <= Bucket::COUNT {
            Some(Self { canary, all })
        } else {
            None
        }
    }

    /// The buckets that go to the canary.
    #[must_use]
    pub const fn canary_buckets(self) -> u32 {
        self.canary
    }

    /// The buckets that were possible.
    #[must_use]
    pub const fn all_buckets(self) -> u32 {
        self.all
    }

    /// The probability, `0.0..=1.0`.
    #[must_use]
    pub fn probability(self) -> f64 {
        f64::from(self.canary) / f64::from(self.all)
    }

    /// The probability of stable, `0.0..=1.0`, as exact as the canary's.
    pub(crate) fn complement(self) -> f64 {
        f64::from(self.all - self.canary) / f64::from(self.all)
    }

    /// Those of these picks that the coin could not have made.
    pub(crate) const fn impossible(self, picks: PerChannel<u64>) -> u64 {
        match self.canary {
            0 => picks.canary,
            canary if canary == self.all => picks.stable,
            _ => 0,
        }
    }

    /// Whether the toss had one possible result, so that seeing it tells nothing.
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
