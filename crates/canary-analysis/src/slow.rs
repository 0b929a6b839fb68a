use std::{error, fmt, time::Duration};

use canary_core::{Latencies, LatencyBucket, PerChannel};

use crate::log_space::float;

/// The latency above which a call is slow.
///
/// It is always the edge of a [`LatencyBucket`], so that the number of calls above it is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowLimit(LimitKind);

#[derive(Clone, Copy, Debug, PartialEq)]
enum LimitKind {
    Fixed(LatencyBucket),
    StableQuantile(f64, Excess),
}

/// The excess over stable's latency that matters, as a factor and as a time.
///
/// A difference counts only if it exceeds both. So neither 3 % of a second nor a millisecond more
/// than 40 µs is harm. By default a quarter and 10 ms: callers of most services do not notice less,
/// and a quarter is the distance of two edges of [`LatencyBucket`]s.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Excess {
    ratio: f64,
    time: Duration,
}

impl Excess {
    /// Creates an excess: `ratio` times stable's latency, and `time` above it.
    ///
    /// # Errors
    ///
    /// Returns an error if `ratio` is not within 1 to 1000, or `time` is above the last edge of a
    /// [`LatencyBucket`], about 69 s.
    ///
    /// ```
    /// use std::time::Duration;
    /// use canary_analysis::Excess;
    ///
    /// assert!(Excess::try_new(1.5, Duration::from_millis(2)).is_ok());
    /// let error = Excess::try_new(0.5, Duration::ZERO).unwrap_err();
    /// assert_eq!(error.to_string(), "slow excess 0.5, expected a ratio of 1 to 1000");
    /// ```
    pub fn try_new(ratio: f64, time: Duration) -> Result<Self, SlowLimitError> {
        if !(1.0..=1000.0).contains(&ratio) {
            return Err(SlowLimitError::ExcessRatio(ratio));
        }
        if LatencyBucket::of(time).upper_edge().is_none() {
            return Err(SlowLimitError::ExcessTime(time));
        }
        Ok(Self { ratio, time })
    }

    /// Returns the multiple of stable's latency.
    #[must_use]
    pub const fn ratio(&self) -> f64 {
        self.ratio
    }

    /// Returns the time above stable's latency.
    #[must_use]
    pub const fn time(&self) -> Duration {
        self.time
    }

    /// Returns the lowest latency that exceeds `latency` by both.
    fn beyond(&self, latency: Duration) -> Duration {
        let by_ratio = Duration::try_from_secs_f64(latency.as_secs_f64() * self.ratio);
        by_ratio.unwrap_or(Duration::MAX).max(latency.saturating_add(self.time))
    }
}

impl Default for Excess {
    fn default() -> Self {
        Self { ratio: 1.25, time: Duration::from_millis(10) }
    }
}

impl SlowLimit {
    /// Creates a fixed limit, rounded up to the next bucket edge.
    ///
    /// # Errors
    ///
    /// Returns an error if `limit` is zero or above the last edge, about 69 s.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use canary_analysis::SlowLimit;
    ///
    /// assert!(SlowLimit::fixed(Duration::from_millis(300)).is_ok());
    /// let error = SlowLimit::fixed(Duration::from_secs(90)).unwrap_err();
    /// assert_eq!(error.to_string(), "slow limit 90s, expected above 0s and at most 68.719476736s");
    /// ```
    pub fn fixed(limit: Duration) -> Result<Self, SlowLimitError> {
        let bucket = LatencyBucket::of(limit);
        if limit.is_zero() || bucket.upper_edge().is_none() {
            return Err(SlowLimitError::Limit(limit));
        }
        Ok(Self(LimitKind::Fixed(bucket)))
    }

    /// Creates a limit at a quantile of stable's calls so far.
    ///
    /// A call of stable is slow above the quantile. A call of the canary is slow if it exceeds the
    /// quantile by an [`Excess`], the default one unless [`by`](Self::by) sets another. So the
    /// judge tests whether the canary's calls *without the excess* are slow more often than
    /// stable's. A canary that is slower by less never counts as worse.
    ///
    /// The limit is taken from earlier observations, so that it does not depend on the calls that
    /// it judges. It is known once about ten of stable's earlier calls are expected above it.
    ///
    /// # Errors
    ///
    /// Returns an error if `quantile` is not within 0.5 to 0.999. Below, most calls would be slow.
    /// Above, the limit would depend on a few calls.
    pub fn stable_quantile(quantile: f64) -> Result<Self, SlowLimitError> {
        if (0.5..=0.999).contains(&quantile) {
            Ok(Self(LimitKind::StableQuantile(quantile, Excess::default())))
        } else {
            Err(SlowLimitError::Quantile(quantile))
        }
    }

    /// Sets the excess over stable's quantile. It does not apply to a fixed limit.
    #[must_use]
    pub const fn by(self, excess: Excess) -> Self {
        match self.0 {
            LimitKind::Fixed(_) => self,
            LimitKind::StableQuantile(quantile, _) => {
                Self(LimitKind::StableQuantile(quantile, excess))
            }
        }
    }

    /// Returns the bucket whose upper edge is the limit for calls of the canary, given stable's
    /// calls so far.
    ///
    /// Returns `None` if there are too few of them, or they are too slow for the histogram.
    #[must_use]
    pub fn bucket(&self, stable: &Latencies) -> Option<LatencyBucket> {
        self.buckets(stable).map(|buckets| buckets.canary)
    }

    /// Returns the bucket whose upper edge is the limit, for each channel.
    pub(crate) fn buckets(&self, stable: &Latencies) -> Option<PerChannel<LatencyBucket>> {
        match self.0 {
            LimitKind::Fixed(bucket) => Some(PerChannel { stable: bucket, canary: bucket }),
            LimitKind::StableQuantile(quantile, excess) => {
                let expected_slow = (1.0 - quantile) * float(stable.total());
                // Slightly less than ten, because `1.0 - 0.99` is not exactly 0.01.
                let bucket = stable.quantile(quantile).filter(|_| expected_slow > 9.9)?;
                let canary = LatencyBucket::of(excess.beyond(bucket.upper_edge()?));
                canary.upper_edge().map(|_| PerChannel { stable: bucket, canary })
            }
        }
    }

    pub(crate) const fn quantile(&self) -> Option<f64> {
        match self.0 {
            LimitKind::Fixed(_) => None,
            LimitKind::StableQuantile(quantile, _) => Some(quantile),
        }
    }
}

/// Serializes as its text: `"p99"`.
#[cfg(feature = "serde")]
impl serde::Serialize for SlowLimit {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Formats the limit for the name of a monitor: `p99`, or the edge, `335.5ms`.
impl fmt::Display for SlowLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // 100.0 * 0.55 is not exactly 55.
            LimitKind::StableQuantile(quantile, _) => {
                write!(f, "p{}", (1e8 * quantile).round() / 1e6)
            }
            LimitKind::Fixed(bucket) => {
                write!(f, "{:.1?}", bucket.upper_edge().unwrap_or_default())
            }
        }
    }
}

/// A [`SlowLimit`] that is out of range.
#[derive(Clone, PartialEq)]
#[non_exhaustive]
pub enum SlowLimitError {
    /// A fixed limit.
    Limit(Duration),
    /// A quantile of stable's calls.
    Quantile(f64),
    /// The ratio of an [`Excess`].
    ExcessRatio(f64),
    /// The time of an [`Excess`].
    ExcessTime(Duration),
}

impl fmt::Display for SlowLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ExcessRatio(ratio) => {
                write!(f, "slow excess {ratio}, expected a ratio of 1 to 1000")
            }
            Self::ExcessTime(time) => {
                write!(f, "slow excess {time:?}, expected at most {:?}", last_edge())
            }
            Self::Limit(limit) => {
                let last = last_edge();
                write!(f, "slow limit {limit:?}, expected above 0s and at most {last:?}")
            }
            Self::Quantile(quantile) => {
                write!(f, "slow quantile {quantile}, expected 0.5 to 0.999")
            }
        }
    }
}

canary_core::debug_as_display!(SlowLimitError);

impl error::Error for SlowLimitError {}

fn last_edge() -> Duration {
    LatencyBucket::all().rev().find_map(LatencyBucket::upper_edge).unwrap_or(Duration::MAX)
}

/// The part of a call that is timed.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[cfg_attr(
    feature = "serde",
    derive(serde::Deserialize, serde::Serialize),
    serde(rename_all = "lowercase")
)]
#[non_exhaustive]
pub enum Until {
    /// Until the head of the response. Use it for streams and upgraded connections.
    #[default]
    Head,
    /// Until the end of the response. Cancelled calls are not timed.
    End,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latencies(millis: impl IntoIterator<Item = u64>) -> Latencies {
        let mut latencies = Latencies::default();
        for millis in millis {
            latencies.add(LatencyBucket::of(Duration::from_millis(millis)), 1);
        }
        latencies
    }

    #[test]
    fn a_fixed_limit_is_rounded_up_to_an_edge() {
        let limit = Duration::from_millis(300);
        let bucket = SlowLimit::fixed(limit).unwrap().bucket(&Latencies::default()).unwrap();
        assert!(bucket.upper_edge().unwrap() >= limit);
        assert!(bucket.lower_edge() < limit);
    }

    #[test]
    fn a_quantile_needs_ten_expected_slower_calls() {
        let limit = SlowLimit::stable_quantile(0.99).unwrap();
        assert_eq!(limit.bucket(&latencies(1..=900)), None);
        let bucket = limit.bucket(&latencies(1..=1000)).unwrap();
        assert!(bucket.upper_edge().unwrap() >= Duration::from_millis(990));
    }

    #[test]
    fn a_canary_call_is_slow_beyond_the_quantile_by_a_ratio_and_a_time() {
        let of = |median, excess| {
            let limit = SlowLimit::stable_quantile(0.5).unwrap().by(excess);
            limit.buckets(&latencies(std::iter::repeat_n(median, 100))).unwrap()
        };
        // The time decides for fast calls, the ratio for slow ones.
        for (median, by) in [(1, 10), (20, 10), (1_000, 250)] {
            let PerChannel { stable, canary } = of(median, Excess::default());
            let least = stable.upper_edge().unwrap() + Duration::from_millis(by);
            assert!(canary.upper_edge().unwrap() >= least, "{median} {canary:?}");
            assert!(canary.lower_edge() < least.mul_f64(1.1), "{median} {canary:?}");
        }
        let PerChannel { stable, canary } = of(1, Excess::try_new(1.0, Duration::ZERO).unwrap());
        assert_eq!(stable, canary);
    }

    #[test]
    fn a_quantile_beyond_the_last_edge_gives_no_limit() {
        let mut slow = Latencies::default();
        slow.add(LatencyBucket::of(Duration::MAX), 1_000_000);
        assert_eq!(SlowLimit::stable_quantile(0.5).unwrap().bucket(&slow), None);
    }

    #[test]
    fn quantiles_out_of_range_are_named() {
        for quantile in [0.0, 0.49, 0.9999, 1.0, f64::NAN] {
            let message = SlowLimit::stable_quantile(quantile).unwrap_err().to_string();
            assert_eq!(message, format!("slow quantile {quantile}, expected 0.5 to 0.999"));
        }
    }
}
