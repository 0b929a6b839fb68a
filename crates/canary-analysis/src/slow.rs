use std::{error, fmt, time::Duration};

use canary_core::{Latencies, LatencyBucket};

use crate::log_space::float;

/// The latency above which a call is slow.
///
/// It is always the edge of a [`LatencyBucket`], so that the number of calls above it is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowLimit(LimitKind);

#[derive(Clone, Copy, Debug, PartialEq)]
enum LimitKind {
    Fixed(LatencyBucket),
    StableQuantile(f64),
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
    /// The limit is taken from earlier observations, so that it does not depend on the calls that
    /// it judges. It is known once about ten of stable's earlier calls are expected above it.
    ///
    /// # Errors
    ///
    /// Returns an error if `quantile` is not within 0.5 to 0.999. Below, most calls would be slow.
    /// Above, the limit would depend on a few calls.
    pub fn stable_quantile(quantile: f64) -> Result<Self, SlowLimitError> {
        if (0.5..=0.999).contains(&quantile) {
            Ok(Self(LimitKind::StableQuantile(quantile)))
        } else {
            Err(SlowLimitError::Quantile(quantile))
        }
    }

    /// Returns the bucket whose upper edge is the limit, given stable's calls so far.
    ///
    /// Returns `None` if there are too few of them, or they are too slow for the histogram.
    #[must_use]
    pub fn bucket(&self, stable: &Latencies) -> Option<LatencyBucket> {
        match self.0 {
            LimitKind::Fixed(bucket) => Some(bucket),
            LimitKind::StableQuantile(quantile) => {
                let expected_slow = (1.0 - quantile) * float(stable.total());
                // Slightly less than ten, because `1.0 - 0.99` is not exactly 0.01.
                let bucket = stable.quantile(quantile).filter(|_| expected_slow > 9.9)?;
                bucket.upper_edge().map(|_| bucket)
            }
        }
    }

    pub(crate) const fn quantile(&self) -> Option<f64> {
        match self.0 {
            LimitKind::Fixed(_) => None,
            LimitKind::StableQuantile(quantile) => Some(quantile),
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
            LimitKind::StableQuantile(quantile) => write!(f, "p{}", (1e8 * quantile).round() / 1e6),
            LimitKind::Fixed(bucket) => {
                write!(f, "{:.1?}", bucket.upper_edge().unwrap_or_default())
            }
        }
    }
}

/// A [`SlowLimit`] that is out of range.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SlowLimitError {
    /// A fixed limit.
    Limit(Duration),
    /// A quantile of stable's calls.
    Quantile(f64),
}

impl fmt::Display for SlowLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit(limit) => {
                let last = LatencyBucket::all().rev().find_map(LatencyBucket::upper_edge);
                let last = last.unwrap_or(Duration::MAX);
                write!(f, "slow limit {limit:?}, expected above 0s and at most {last:?}")
            }
            Self::Quantile(quantile) => {
                write!(f, "slow quantile {quantile}, expected 0.5 to 0.999")
            }
        }
    }
}

impl error::Error for SlowLimitError {}

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
