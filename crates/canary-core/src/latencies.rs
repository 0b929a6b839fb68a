use std::{fmt, time::Duration};

/// One of the fixed ranges by which latencies are counted.
///
/// The ranges are `(lower edge, upper edge]`, like `le` in Prometheus. From 8.192 µs to 68.7 s,
/// each doubling is split into four ranges, so that each edge is at most a quarter above the
/// previous one. There is one more range below and one above. The ranges are the same in every
/// process and version, so counts of replicas can be added.
///
/// ```
/// use std::time::Duration;
/// use canary_core::LatencyBucket;
///
/// let bucket = LatencyBucket::of(Duration::from_millis(10));
/// assert!(bucket.lower_edge() < Duration::from_millis(10));
/// assert!(bucket.upper_edge().unwrap() >= Duration::from_millis(10));
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct LatencyBucket(u8);

impl LatencyBucket {
    /// The number of buckets.
    pub const COUNT: usize = OCTAVES * SPLITS + 2;

    const LAST: u8 = 93;

    /// Returns all buckets, the fastest first.
    pub fn all() -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        (0..Self::LAST + 1).map(Self)
    }

    /// Returns the bucket of a latency.
    #[must_use]
    pub fn of(latency: Duration) -> Self {
        Self::of_nanos(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Returns the bucket of a latency in nanoseconds.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use canary_core::LatencyBucket;
    /// let latency = Duration::from_millis(10);
    /// assert_eq!(LatencyBucket::of_nanos(10_000_000), LatencyBucket::of(latency));
    /// ```
    #[must_use]
    pub fn of_nanos(nanos: u64) -> Self {
        // A latency on an edge belongs to the bucket below.
        let nanos = nanos.saturating_sub(1);
        if nanos < 1 << FIRST_OCTAVE {
            return Self(0);
        }
        let octave = nanos.ilog2();
        let split = (nanos >> (octave - 2)) & 3;
        let index = u64::from(octave - FIRST_OCTAVE) * SPLITS as u64 + split + 1;
        Self(u8::try_from(index).map_or(Self::LAST, |index| index.min(Self::LAST)))
    }

    /// Returns the position of the bucket, below [`LatencyBucket::COUNT`].
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns the lower edge. Every latency in the bucket is above it.
    #[must_use]
    pub fn lower_edge(self) -> Duration {
        self.0.checked_sub(1).and_then(|below| Self(below).upper_edge()).unwrap_or(Duration::ZERO)
    }

    /// Returns the largest latency in the bucket, or `None` for the last bucket.
    #[must_use]
    pub fn upper_edge(self) -> Option<Duration> {
        let nanos = match self.0 {
            0 => 1 << FIRST_OCTAVE,
            Self::LAST.. => return None,
            index => {
                let (octave, split) = ((index - 1) / 4, (index - 1) % 4);
                let base = 1_u64 << (FIRST_OCTAVE + u32::from(octave));
                base + (u64::from(split) + 1) * (base / 4)
            }
        };
        Some(Duration::from_nanos(nanos))
    }

    /// Returns a latency that represents the bucket: the middle of its edges, or the lower edge of
    /// the last bucket.
    #[must_use]
    pub fn midpoint(self) -> Duration {
        let lower = self.lower_edge();
        self.upper_edge().map_or(lower, |upper| (lower + upper) / 2)
    }
}

/// A histogram of latencies: the number of calls in each [`LatencyBucket`].
///
/// Sums saturate at `u64::MAX`.
// `None` while each count is zero: a snapshot has a dozen histograms, and most of them stay empty.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct Latencies(Option<Box<[u64; LatencyBucket::COUNT]>>);

impl Latencies {
    /// Counts `calls` calls in `bucket`.
    pub fn add(&mut self, bucket: LatencyBucket, calls: u64) {
        if calls > 0 {
            let counts = self.0.get_or_insert_with(|| Box::new(NONE));
            let count = &mut counts[bucket.index()];
            *count = count.saturating_add(calls);
        }
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        match (&mut self.0, &other.0) {
            (_, None) => {}
            (None, Some(theirs)) => self.0 = Some(theirs.clone()),
            (Some(mine), Some(theirs)) => {
                for (mine, theirs) in mine.iter_mut().zip(theirs.iter()) {
                    *mine = mine.saturating_add(*theirs);
                }
            }
        }
    }

    /// Returns the number of calls in `bucket`.
    #[must_use]
    pub fn calls(&self, bucket: LatencyBucket) -> u64 {
        self.counts()[bucket.index()]
    }

    /// Returns the number of calls in all buckets.
    #[must_use]
    pub fn total(&self) -> u64 {
        sum(self.counts())
    }

    /// Returns the exact number of calls slower than the upper edge of `bucket`.
    #[must_use]
    pub fn slower_than(&self, bucket: LatencyBucket) -> u64 {
        sum(&self.counts()[bucket.index() + 1..])
    }

    /// Returns the bucket of the quantile `q`, or `None` if there are no calls.
    ///
    /// `q` is clamped to `0.0..=1.0`. At least the share `q` of the calls is in this bucket or a
    /// faster one.
    #[must_use]
    pub fn quantile(&self, q: f64) -> Option<LatencyBucket> {
        let total = self.total();
        #[expect(
            clippy::cast_precision_loss,
            reason = "the relative error of a rank is at most 1e-16"
        )]
        let rank = (q.clamp(0.0, 1.0) * total as f64).ceil().max(1.0);
        let mut seen = 0_u64;
        LatencyBucket::all().find(|bucket| {
            seen = seen.saturating_add(self.calls(*bucket));
            #[expect(clippy::cast_precision_loss, reason = "as above")]
            let reached = seen as f64 >= rank;
            total > 0 && reached
        })
    }

    /// Subtracts the counts of `earlier`. Returns `None` if a count decreased.
    pub(crate) fn checked_sub(&self, earlier: &Self) -> Option<Self> {
        let mut difference = self.clone();
        for (bucket, theirs) in earlier.counts().iter().enumerate() {
            match &mut difference.0 {
                Some(mine) => mine[bucket] = mine[bucket].checked_sub(*theirs)?,
                None if *theirs > 0 => return None,
                None => {}
            }
        }
        if *difference.counts() == NONE {
            difference.0 = None;
        }
        Some(difference)
    }

    fn counts(&self) -> &[u64; LatencyBucket::COUNT] {
        self.0.as_deref().unwrap_or(&NONE)
    }
}

impl fmt::Debug for Latencies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                LatencyBucket::all()
                    .filter(|bucket| self.calls(*bucket) > 0)
                    .map(|bucket| (bucket.lower_edge(), self.calls(bucket))),
            )
            .finish()
    }
}

static NONE: [u64; LatencyBucket::COUNT] = [0; LatencyBucket::COUNT];

fn sum(calls: &[u64]) -> u64 {
    calls.iter().fold(0, |sum, calls| sum.saturating_add(*calls))
}

/// The first bucket ends at 2^13 ns, 8.192 µs. An empty axum route takes about a microsecond, so
/// few calls are faster than that.
const FIRST_OCTAVE: u32 = 13;
/// The last edge, 2^36 ns or 68.7 s, is above the default timeouts of servers and proxies.
const OCTAVES: usize = 23;
/// With edges at most a factor of 1.25 apart, the midpoint of a bucket is off by at most 12.5 %.
/// With the default buckets of Prometheus, which are up to a factor of 2.5 apart, it is up to 75 %.
const SPLITS: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn edges_grow_by_a_quarter_at_most_and_belong_to_the_bucket_below() {
        assert_eq!(LatencyBucket::all().len(), LatencyBucket::COUNT);
        for bucket in LatencyBucket::all() {
            let Some(upper) = bucket.upper_edge() else {
                assert_eq!(bucket.index(), LatencyBucket::COUNT - 1);
                continue;
            };
            let nanosecond = Duration::from_nanos(1);
            assert_eq!(LatencyBucket::of(upper), bucket);
            assert_eq!(LatencyBucket::of(upper + nanosecond).index(), bucket.index() + 1);
            assert_eq!(LatencyBucket::of(bucket.lower_edge() + nanosecond), bucket);
            if bucket.index() > 0 {
                assert!(upper <= bucket.lower_edge() * 5 / 4);
            }
        }
    }

    #[test]
    fn extreme_latencies_are_in_the_first_and_last_bucket() {
        assert_eq!(LatencyBucket::of(Duration::ZERO).index(), 0);
        assert_eq!(LatencyBucket::of(Duration::MAX).index(), LatencyBucket::COUNT - 1);
    }

    #[test]
    fn there_is_no_quantile_without_calls() {
        assert_eq!(Latencies::default().quantile(0.5), None);
    }

    #[test]
    fn no_call_is_slower_than_the_last_bucket() {
        let mut latencies = Latencies::default();
        let last = LatencyBucket::of(Duration::MAX);
        latencies.add(last, 3);
        assert_eq!(latencies.slower_than(last), 0);
    }

    #[test]
    fn a_difference_without_calls_is_equal_to_an_empty_histogram() {
        let bucket = LatencyBucket::of(Duration::from_millis(1));
        let empty = Latencies::default();
        let mut one = empty.clone();
        one.add(bucket, 1);
        one.add(bucket, 0);
        assert_eq!(one.checked_sub(&one), Some(empty.clone()));
        assert_eq!(one.checked_sub(&empty), Some(one.clone()));
        assert_eq!(empty.checked_sub(&empty), Some(empty.clone()));
        assert_eq!(empty.checked_sub(&one), None);

        let mut sum = empty.clone();
        sum.add(bucket, 0);
        sum.merge(&empty);
        assert_eq!(sum, empty);
        sum.merge(&one);
        sum.merge(&one);
        assert_eq!((sum.total(), sum.calls(bucket)), (2, 2));
    }

    #[test]
    fn sums_saturate() {
        let mut latencies = Latencies::default();
        for millis in [1, 100] {
            latencies.add(LatencyBucket::of(Duration::from_millis(millis)), u64::MAX);
        }
        latencies.merge(&latencies.clone());
        assert_eq!(latencies.total(), u64::MAX);
        assert_eq!(latencies.slower_than(LatencyBucket::of(Duration::ZERO)), u64::MAX);
        assert!(latencies.quantile(0.5).is_some());
    }

    proptest! {
        #[test]
        fn a_quantile_has_the_requested_share_at_or_below_it(
            nanos in proptest::collection::vec(0..100_000_000_000_u64, 1..200), q in 0.0..1.0_f64
        ) {
            let mut latencies = Latencies::default();
            for nanos in &nanos {
                latencies.add(LatencyBucket::of(Duration::from_nanos(*nanos)), 1);
            }
            let bucket = latencies.quantile(q).unwrap();
            let calls = u32::try_from(nanos.len()).unwrap();
            let slower = u32::try_from(latencies.slower_than(bucket)).unwrap();
            prop_assert!(f64::from(calls - slower) >= q * f64::from(calls));
        }
    }
}
