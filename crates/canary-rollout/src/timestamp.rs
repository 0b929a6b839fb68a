use std::{
    error, fmt, str,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A moment of wall-clock time, to the millisecond.
///
/// It is written as RFC 3339 says, in UTC, so that people can read stored states and replicas in
/// different zones agree. Nothing in this crate asks what time it is: whoever drives a rollout says
/// so.
///
/// A type of our own keeps the library that does the calendar's arithmetic out of the public
/// interface. Wall-clock time, because a rollout outlives the processes that drive it; what comes of
/// clocks that jump is told at [`Rollout`](crate::Rollout#time).
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use canary_rollout::Timestamp;
///
/// let at: Timestamp = "2026-11-24T09:00:00Z".parse()?;
/// assert_eq!((at + Duration::from_secs(90)).to_string(), "2026-11-24T09:01:30Z");
/// assert_eq!(at.since(at + Duration::from_secs(1)), Duration::ZERO);
///
/// let now = Timestamp::from(SystemTime::UNIX_EPOCH);
/// assert_eq!(now.to_string(), "1970-01-01T00:00:00Z");
/// # Ok::<(), canary_rollout::ParseTimestampError>(())
/// ```
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Timestamp(jiff::Timestamp);

impl Timestamp {
    /// The moment that many milliseconds after 1970 began, or before if negative.
    ///
    /// Moments before the year -9999 and after 9999 become the first and last one that there is.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        let end = if millis < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self(jiff::Timestamp::from_millisecond(millis).unwrap_or(end))
    }

    /// Milliseconds since 1970 began.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// The time since `earlier`; zero if that is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        let millis = self.as_millis().saturating_sub(earlier.as_millis());
        u64::try_from(millis).map_or(Duration::ZERO, Duration::from_millis)
    }

    pub(crate) const fn to_jiff(self) -> jiff::Timestamp {
        self.0
    }

    pub(crate) fn from_jiff(timestamp: jiff::Timestamp) -> Self {
        Self::from_millis(timestamp.as_millisecond())
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let millis = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(match time.duration_since(UNIX_EPOCH) {
            Ok(after) => millis(after),
            Err(before) => -millis(before.duration()),
        })
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;

    /// The moment `span` later; the last one there is, if that is later still.
    fn add(self, span: Duration) -> Self {
        let millis = i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        Self::from_millis(self.as_millis().saturating_add(millis))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl str::FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, ParseTimestampError> {
        text.parse().map(Self::from_jiff).map_err(|_| ParseTimestampError(text.to_owned()))
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

/// A text that is no [`Timestamp`]. The message names it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ParseTimestampError(String);

impl fmt::Display for ParseTimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "time {:?}: expected one such as \"2026-11-24T09:00:00Z\"", self.0)
    }
}

impl error::Error for ParseTimestampError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timestamp_is_read_as_it_is_written() {
        for millis in [0, 1, -1, 1_800_000_000_123] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(at.to_string().parse(), Ok(at));
            let json = serde_json::to_string(&at).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let last = Timestamp::from_millis(i64::MAX);
        assert_eq!(last + Duration::MAX, last);
        assert!(last.since(Timestamp::from_millis(i64::MIN)) > Duration::from_secs(1 << 38));
        assert_eq!(Timestamp::from_millis(i64::MIN).since(last), Duration::ZERO);
    }

    #[test]
    fn what_is_no_time_is_named() {
        let message = "9 o'clock".parse::<Timestamp>().unwrap_err().to_string();
        assert!(message.contains("\"9 o'clock\""), "{message}");
    }
}
