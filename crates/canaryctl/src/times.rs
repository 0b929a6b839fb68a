//! Times for people, in the time zone of the terminal.

use jiff::{Timestamp, ZonedDateTime, tz::TimeZone};

/// Writes the times of the API for people.
#[derive(Clone, Debug)]
pub(crate) struct Times {
    zone: TimeZone,
}

impl Times {
    /// The times of the system's zone, or of the zone that `TZ` names.
    pub(crate) fn local() -> Self {
        Self { zone: TimeZone::system() }
    }

    #[cfg(test)]
    pub(crate) const fn utc() -> Self {
        Self { zone: TimeZone::UTC }
    }

    /// Returns a time of the API to the second, such as `2026-11-24 10:00:00+01:00`.
    pub(crate) fn full(&self, at: &str) -> String {
        self.format(at, |time| {
            let offset = if time.offset().is_zero() { "Z" } else { "%:z" };
            time.strftime(&format!("%F %T{offset}")).to_string()
        })
    }

    /// Returns the time of day, such as `10:00:00`.
    pub(crate) fn time_of_day(&self, at: &str) -> String {
        self.format(at, |time| time.strftime("%T").to_string())
    }

    /// Returns a sentence of the server with short times, such as `14:32`, or `Nov 24, 14:32` on
    /// another day than today.
    pub(crate) fn sentence(&self, text: &str) -> String {
        self.sentence_at(text, Timestamp::now())
    }

    /// Does the same at another time than the present.
    pub(crate) fn sentence_at(&self, text: &str, now: Timestamp) -> String {
        let today = now.to_zoned_datetime(self.zone.clone()).date();
        let mut sentence = String::new();
        let mut rest = text;
        while let Some((before, at, after)) = split_at_time(rest) {
            sentence.push_str(before);
            sentence.push_str(&self.format(at, |time| {
                let form = if time.date() == today { "%H:%M" } else { "%b %-d, %H:%M" };
                time.strftime(form).to_string()
            }));
            rest = after;
        }
        sentence + rest
    }

    fn format(&self, at: &str, form: impl FnOnce(ZonedDateTime) -> String) -> String {
        match at.parse::<Timestamp>() {
            Ok(time) => form(time.to_zoned_datetime(self.zone.clone())),
            Err(_) => at.to_owned(),
        }
    }
}

/// Splits a text at its first time, such as `2026-11-24T09:00:00.123Z`.
fn split_at_time(text: &str) -> Option<(&str, &str, &str)> {
    const FORM: &[u8] = b"dddd-dd-ddTdd:dd:dd";
    let is_time = |bytes: &[u8]| {
        bytes.iter().zip(FORM).all(|(byte, form)| match form {
            b'd' => byte.is_ascii_digit(),
            _ => byte == form,
        })
    };
    let begin = text.as_bytes().windows(FORM.len()).position(is_time)?;
    let is_end = |char: char| !char.is_ascii_digit() && char != '.';
    let seconds = begin + FORM.len();
    let end = seconds + text[seconds..].find(is_end)?;
    // Only `Z` is one byte that belongs to the time.
    let end = if text[end..].starts_with('Z') { end + 1 } else { end };
    Some((&text[..begin], &text[begin..end], &text[end..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn berlin() -> Times {
        Times { zone: TimeZone::get("Europe/Berlin").unwrap() }
    }

    #[test]
    fn times_are_local_and_to_the_second() {
        let at = "2026-11-24T23:30:00.123Z";
        assert_eq!(Times::utc().full(at), "2026-11-24 23:30:00Z");
        assert_eq!(berlin().full(at), "2026-11-25 00:30:00+01:00");
        assert_eq!(Times::utc().time_of_day(at), "23:30:00");
        assert_eq!(berlin().time_of_day(at), "00:30:00");
        assert_eq!(berlin().full("soon"), "soon");
    }

    #[test]
    fn sentences_have_short_times() {
        let now = "2026-11-24T22:00:00Z".parse().unwrap();
        let text = "promoted about 2026-11-24T22:10:09Z, opens at 2026-11-25T08:00:00.5Z";
        let utc = "promoted about 22:10, opens at Nov 25, 08:00";
        assert_eq!(Times::utc().sentence_at(text, now), utc);
        let berlin = berlin().sentence_at(text, now);
        assert_eq!(berlin, "promoted about 23:10, opens at Nov 25, 09:00");
        for text in ["", "release 2026-11-24", "v2026-11-24T22:10", "2026-99-24T22:10:09Z é"] {
            assert_eq!(Times::utc().sentence_at(text, now), text);
        }
    }
}
