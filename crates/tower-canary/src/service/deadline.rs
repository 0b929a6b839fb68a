use std::{num::NonZeroU64, time::Duration};

use http::{HeaderName, HeaderValue};

use crate::counting::clock::nanos_of;

/// The deadline that the caller of a gRPC method set with `grpc-timeout`, if any.
///
/// A timeout below [`FLOOR`](Self::FLOOR) is no deadline. The caller chooses it, and a time in which
/// no service could respond shows nothing about the service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallerDeadline {
    /// Nanoseconds from the start of the call.
    nanos: Option<NonZeroU64>,
}

impl CallerDeadline {
    pub(crate) const NONE: Self = Self { nanos: None };
    /// The shortest timeout that counts as a deadline.
    pub(crate) const FLOOR: Duration = Duration::from_millis(10);

    /// Returns the deadline of a call with this `grpc-timeout`.
    pub(crate) fn of(timeout: &HeaderValue) -> Self {
        let deadline = parse(timeout).filter(|timeout| *timeout >= Self::FLOOR);
        Self { nanos: deadline.and_then(|timeout| NonZeroU64::new(nanos_of(timeout))) }
    }

    /// Returns whether a caller who left after `elapsed` nanoseconds probably ran into the
    /// deadline.
    ///
    /// The caller's clock started earlier. A caller who leaves in the last tenth of the timeout
    /// counts as one whose deadline passed.
    pub(crate) fn is_missed_after(self, elapsed: impl FnOnce() -> u64) -> bool {
        self.nanos.is_some_and(|nanos| elapsed() >= nanos.get() / 10 * 9)
    }

    /// Returns whether the timeout is shorter than `usual`.
    pub(crate) fn is_shorter_than(self, usual: Duration) -> bool {
        self.nanos.is_some_and(|nanos| nanos.get() < nanos_of(usual))
    }
}

fn parse(timeout: &HeaderValue) -> Option<Duration> {
    let value = timeout.to_str().ok()?;
    let (digits, unit) = value.split_at_checked(value.len().checked_sub(1)?)?;
    // The protocol allows at most eight digits.
    if digits.len() > 8 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: u64 = digits.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

// A static: a lookup by string would normalize the name for each call.
pub(crate) static GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_parse_in_every_unit_and_malformed_ones_are_ignored() {
        for (value, timeout) in [
            ("1H", Some(Duration::from_secs(3600))),
            ("2M", Some(Duration::from_secs(120))),
            ("3S", Some(Duration::from_secs(3))),
            ("100m", Some(Duration::from_millis(100))),
            ("99999999u", Some(Duration::from_micros(99_999_999))),
            ("5n", Some(Duration::from_nanos(5))),
            ("", None),
            ("m", None),
            ("5", None),
            ("-5m", None),
            ("123456789m", None),
            ("5x", None),
        ] {
            assert_eq!(parse(&HeaderValue::from_static(value)), timeout, "{value:?}");
        }
        assert_eq!(parse(&HeaderValue::from_bytes(b"5\xff").unwrap()), None);
    }

    #[test]
    fn a_deadline_is_missed_from_the_last_tenth_on() {
        let deadline = deadline("100m");
        assert!(!deadline.is_missed_after(|| 89_999_999));
        assert!(deadline.is_missed_after(|| 90_000_000));
        assert!(!CallerDeadline::NONE.is_missed_after(|| u64::MAX));
    }

    #[test]
    fn a_timeout_below_the_floor_is_no_deadline() {
        for (value, is_deadline) in
            [("0S", false), ("1n", false), ("9m", false), ("9999u", false), ("10m", true)]
        {
            assert_eq!(deadline(value).is_missed_after(|| u64::MAX), is_deadline, "{value}");
        }
    }

    fn deadline(timeout: &'static str) -> CallerDeadline {
        CallerDeadline::of(&HeaderValue::from_static(timeout))
    }
}
