use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

/// Exponential backoff with jitter, between the attempts of a request.
///
/// ```
/// use std::time::Duration;
/// use canary_controller::webhook::Backoff;
///
/// let backoff = Backoff::default();
/// assert_eq!(backoff.max_pause(1), Duration::from_millis(500));
/// assert_eq!(backoff.max_pause(3), Duration::from_secs(2));
/// assert_eq!(backoff.max_pause(99), Duration::from_secs(30));
/// ```
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Backoff {
    first: Duration,
    max: Duration,
}

impl Backoff {
    /// Creates a backoff whose first pause is at most `first`. Pauses double, up to `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }

    /// Returns the maximum pause after this number of requests.
    ///
    /// The actual pause is random, between half of the maximum and the maximum, so that clients do
    /// not retry at the same time.
    #[must_use]
    pub fn max_pause(&self, requests: u32) -> Duration {
        let factor = 2_u32.saturating_pow(requests.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.max)
    }

    /// Returns the pause after this number of requests. `retry_after` is the delay that the last
    /// response asks for. `jitter` is random, between 0 and 1.
    pub(crate) fn pause(
        &self,
        requests: u32,
        retry_after: Option<Duration>,
        jitter: f64,
    ) -> Duration {
        let half = self.max_pause(requests) / 2;
        let pause = half + half.mul_f64(jitter.clamp(0.0, 1.0));
        pause.max(retry_after.unwrap_or_default()).min(self.max)
    }
}

impl Default for Backoff {
    /// Returns a backoff from 0.5 s to 30 s.
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }
}

/// Returns the delay that the header `Retry-After` asks for, in seconds or as a date.
pub(crate) fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = httpdate::parse_http_date(text).ok()?;
    Some(date.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
        retry_after(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_000))
    }

    #[test]
    fn retry_after_is_parsed_as_seconds_or_as_a_date() {
        assert_eq!(parsed("7"), Some(Duration::from_secs(7)));
        assert_eq!(parsed("Mon, 24 Nov 2025 16:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(parsed("Mon, 24 Nov 2025 15:59:00 GMT"), Some(Duration::ZERO));
        assert_eq!([parsed("soon"), parsed("-1"), parsed("")], [None; 3]);
    }

    proptest! {
        #[test]
        fn pauses_stay_within_their_bounds(
            requests in 0..u32::MAX,
            delay in proptest::option::of(0..u64::MAX),
            jitter in 0.0..1.0,
        ) {
            let backoff = Backoff::default();
            let delay = delay.map(Duration::from_secs);
            let pause = backoff.pause(requests, delay, jitter);
            prop_assert!(pause >= backoff.max_pause(requests) / 2);
            prop_assert!(pause >= delay.unwrap_or_default().min(Duration::from_secs(30)));
            prop_assert!(pause <= Duration::from_secs(30));
        }
    }
}
