use std::{
    error, fmt, str,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A point in wall-clock time, in milliseconds.
///
/// Its text form is RFC 3339 in UTC. This crate never reads a clock: the driver passes the time.
///
/// A rollout uses wall-clock time because it outlives the processes that drive it.
/// [`Rollout`](crate::Rollout#time) describes the effect of clocks that jump.
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
    /// Creates a timestamp from milliseconds since the Unix epoch. Values outside the years -9999
    /// to 9999 become the nearest valid timestamp.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        let end = if millis < 0 { jiff::Timestamp::MIN } else { jiff::Timestamp::MAX };
        Self(jiff::Timestamp::from_millisecond(millis).unwrap_or(end))
    }

    /// Returns the milliseconds since the Unix epoch.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0.as_millisecond()
    }

    /// Returns the time since `earlier`, or zero if `earlier` is later.
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

    /// Returns the timestamp `span` later, or the last valid one.
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

/// The error for an invalid [`Timestamp`] string. The message contains the string.
#[derive(Clone, Eq, PartialEq)]
pub struct ParseTimestampError(String);

impl fmt::Display for ParseTimestampError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid time {:?}: expected a time such as \"2026-11-24T09:00:00Z\"", self.0)
    }
}

impl error::Error for ParseTimestampError {}

canary_core::debug_as_display!(ParseTimestampError);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_formatted_timestamp_parses_to_itself() {
        for millis in [0, 1, -1, 1_800_000_000_123] {
            let at = Timestamp::from_millis(millis);
            assert_eq!(at.to_string().parse(), Ok(at));
            let json = serde_json::to_string(&at).unwrap();
            assert_eq!(serde_json::from_str::<Timestamp>(&json).unwrap(), at);
        }
    }

    #[test]
    fn the_first_and_last_timestamps_do_not_overflow() {
        let last = Timestamp::from_millis(i64::MAX);
        assert_eq!(last + Duration::MAX, last);
        assert!(last.since(Timestamp::from_millis(i64::MIN)) > Duration::from_secs(1 << 38));
        assert_eq!(Timestamp::from_millis(i64::MIN).since(last), Duration::ZERO);
    }

    #[test]
    fn an_error_names_the_invalid_time() {
        let message = "9 o'clock".parse::<Timestamp>().unwrap_err().to_string();
        assert!(message.contains("\"9 o'clock\""), "{message}");
    }
}
