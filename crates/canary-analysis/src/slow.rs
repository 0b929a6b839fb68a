use std::{error, fmt, time::Duration};

use canary_core::{Latencies, LatencyBucket};

use crate::log_space::float;

/// From which time on a call is slow.
///
/// The limit must not depend on the calls it judges, and is always the edge of a [`LatencyBucket`],
/// so that the number of calls above it is exact.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SlowLimit(Kind);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Fixed(LatencyBucket),
    StableQuantile(f64),
}

impl SlowLimit {
    /// A time in which calls have to be answered, rounded up to the next edge.
    ///
    /// # Errors
    ///
    /// If `limit` is zero, or longer than the last edge, about 69 s.
    ///
    /// # Example
    ///
    /// ```
    /// use std::time::Duration;
    /// use canary_analysis::SlowLimit;
    ///
    /// assert!(SlowLimit::fixed(Duration::from_millis(300)).is_ok());
    /// let error = SlowLimit::fixed(Duration::from_secs(90)).unwrap_err();
    /// assert_eq!(error.to_string(), "slow limit 90s is not above 0s and up to 68.719476736s");
    /// ```
    pub fn fixed(limit: Duration) -> Result<Self, SlowLimitError> {
        let bucket = LatencyBucket::of(limit);
        if limit.is_zero() || bucket.upper_edge().is_none() {
            return Err(SlowLimitError(Fault::Limit(limit)));
        }
        Ok(Self(Kind::Fixed(bucket)))
    }

    /// The time that the share `quantile` of stable's calls so far did not exceed.
    ///
    /// It is taken from earlier ticks, once they hold calls enough that ten are expected above it.
    ///
    /// # Errors
    ///
    /// If `quantile` is not at least 0.5 and at most 0.999. Below, most calls would be slow; above,
    /// the limit would rest on a few of them.
    pub fn stable_quantile(quantile: f64) -> Result<Self, SlowLimitError> {
        if (0.5..=0.999).contains(&quantile) {
            Ok(Self(Kind::StableQuantile(quantile)))
        } else {
            Err(SlowLimitError(Fault::Quantile(quantile)))
        }
    }

    /// The bucket at whose upper edge calls begin to be slow, given stable's calls so far.
    ///
    /// None if these are too few, or too slow for the histogram.
    #[must_use]
    pub fn bucket(&self, stable: &Latencies) -> Option<LatencyBucket> {
        match self.0 {
            Kind::Fixed(bucket) => Some(bucket),
            Kind::StableQuantile(quantile) => {
                let expected_slow = (1.0 - quantile) * float(stable.total());
                // A tenth of a call less than ten, since 1 - 0.99 is not 0.01 in binary.
                let bucket = stable.quantile(quantile).filter(|_| expected_slow > 9.9)?;
                bucket.upper_edge().map(|_| bucket)
            }
        }
    }

    /// The quantile, if the limit is one.
    pub(crate) const fn quantile(&self) -> Option<f64> {
        match self.0 {
            Kind::Fixed(_) => None,
            Kind::StableQuantile(quantile) => Some(quantile),
        }
    }
}

/// As it stands in a monitor's name: `p99`, or the edge, `335.5ms`.
impl fmt::Display for SlowLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            // 100 times 0.55 has a last digit too many.
            Kind::StableQuantile(quantile) => write!(f, "p{}", (1e8 * quantile).round() / 1e6),
            Kind::Fixed(bucket) => write!(f, "{:.1?}", bucket.upper_edge().unwrap_or_default()),
        }
    }
}

/// A [`SlowLimit`] out of range. The message names the value and the range.
#[derive(Clone, Debug, PartialEq)]
pub struct SlowLimitError(Fault);

#[derive(Clone, Debug, PartialEq)]
enum Fault {
    Limit(Duration),
    Quantile(f64),
}

impl fmt::Display for SlowLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Fault::Limit(limit) => {
                let last = LatencyBucket::all().rev().find_map(LatencyBucket::upper_edge);
                let last = last.unwrap_or(Duration::MAX);
                write!(f, "slow limit {limit:?} is not above 0s and up to {last:?}")
            }
            Fault::Quantile(quantile) => {
                write!(f, "slow quantile {quantile} is not between 0.5 and 0.999")
            }
        }
    }
}

impl error::Error for SlowLimitError {}

/// Which part of a call is timed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Until {
    /// Until the head of the response: right for streams and upgraded connections too.
    Head,
    /// Until the end of the response, of calls that were not cancelled.
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
    fn a_quantile_waits_until_it_rests_on_ten_slower_calls() {
        let limit = SlowLimit::stable_quantile(0.99).unwrap();
        assert_eq!(limit.bucket(&latencies(1..=900)), None);
        let bucket = limit.bucket(&latencies(1..=1000)).unwrap();
        assert!(bucket.upper_edge().unwrap() >= Duration::from_millis(990));
    }

    #[test]
    fn a_quantile_beyond_the_last_edge_is_no_limit() {
        let mut slow = Latencies::default();
        slow.add(LatencyBucket::of(Duration::MAX), 1_000_000);
        assert_eq!(SlowLimit::stable_quantile(0.5).unwrap().bucket(&slow), None);
    }

    #[test]
    fn quantiles_out_of_range_are_named() {
        for quantile in [0.0, 0.49, 0.9999, 1.0, f64::NAN] {
            let message = SlowLimit::stable_quantile(quantile).unwrap_err().to_string();
            assert_eq!(message, format!("slow quantile {quantile} is not between 0.5 and 0.999"));
        }
    }
}
