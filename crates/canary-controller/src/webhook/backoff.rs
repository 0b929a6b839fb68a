use std::time::{Duration, SystemTime};

use http::{HeaderMap, header::RETRY_AFTER};

/// The pauses between a request that failed and its repetitions: each about twice as long as the one
/// before, up to a bound.
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
    /// The first pause lasts up to `first`, and none longer than `most`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self { first, max }
    }

    /// How long the pause after so many requests lasts at max. At least it lasts half of that; where
    /// in between is left to chance, so that those who failed together do not come back together.
    #[must_use]
    pub fn max_pause(&self, requests: u32) -> Duration {
        let factor = 2_u32.saturating_pow(requests.saturating_sub(1));
        self.first.saturating_mul(factor).min(self.max)
    }

    /// The pause after so many requests, of which the last one's answer may say how long it should
    /// be. `chance` is between 0 and 1.
    pub(crate) fn pause(&self, requests: u32, asked: Option<Duration>, chance: f64) -> Duration {
        let half = self.max_pause(requests) / 2;
        let pause = half + half.mul_f64(chance.clamp(0.0, 1.0));
        pause.max(asked.unwrap_or_default()).min(self.max)
    }
}

impl Default for Backoff {
    /// Half a second first, half a minute at max.
    fn default() -> Self {
        Self::new(Duration::from_millis(500), Duration::from_secs(30))
    }
}

/// The time that `Retry-After` asks for, which is in seconds or a date.
pub(crate) fn asked_pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
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

    fn asked(text: &str) -> Option<Duration> {
        let headers = HeaderMap::from_iter([(RETRY_AFTER, text.parse().unwrap())]);
        asked_pause(&headers, SystemTime::UNIX_EPOCH + Duration::from_secs(1_764_000_000))
    }

    #[test]
    fn retry_after_is_read_in_both_forms() {
        assert_eq!(asked("7"), Some(Duration::from_secs(7)));
        assert_eq!(asked("Mon, 24 Nov 2025 16:00:30 GMT"), Some(Duration::from_secs(30)));
        assert_eq!(asked("Mon, 24 Nov 2025 15:59:00 GMT"), Some(Duration::ZERO));
        assert_eq!([asked("soon"), asked("-1"), asked("")], [None; 3]);
    }

    proptest! {
        #[test]
        fn pauses_stay_within_their_bounds(
            requests in 0..u32::MAX,
            asked in proptest::option::of(0..u64::MAX),
            chance in 0.0..1.0,
        ) {
            let backoff = Backoff::default();
            let asked = asked.map(Duration::from_secs);
            let pause = backoff.pause(requests, asked, chance);
            prop_assert!(pause >= backoff.max_pause(requests) / 2);
            prop_assert!(pause >= asked.unwrap_or_default().min(Duration::from_secs(30)));
            prop_assert!(pause <= Duration::from_secs(30));
        }
    }
}
