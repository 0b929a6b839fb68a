//! Tests of calendars: when they are open, and when they open next.

#![allow(clippy::unwrap_used, reason = "test code")]

use std::time::Duration;

use canary_rollout::{Plan, Timestamp, plan::Calendar};
use jiff::{
    civil::DateTime,
    tz::{self, TimeZone},
};

const STEP: &str = "steps = [{ weight = '1%' }]\n";

fn calendar(zone: &str, fields: &str) -> Calendar {
    let toml = format!("{STEP}[calendar]\ntime_zone = '{zone}'\n{fields}");
    Plan::from_toml(&toml).unwrap().calendar().unwrap().clone()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn a_calendar_respects_its_zone_days_and_hours() {
    let toml = format!(
        "{STEP}[calendar]\ntime_zone = 'Europe/Berlin'\ndays = ['sun', 'fri-mon']\n\
         hours = ['02:30-12:00', '22:00-24:00']\nclosed_dates = ['2026-03-30']"
    );
    let plan = Plan::from_toml(&toml).unwrap();
    let calendar = plan.calendar().unwrap();
    for (at, is_open, next) in [
        ("2026-03-27T08:00:00Z", true, "2026-03-27T08:00:00Z"),
        ("2026-03-27T11:00:00Z", false, "2026-03-27T21:00:00Z"),
        ("2026-03-27T22:59:00Z", true, "2026-03-27T22:59:00Z"),
        // On the 29th the clocks go forward from two to three, so 02:30 does not exist.
        ("2026-03-29T00:59:00Z", false, "2026-03-29T01:00:00Z"),
        ("2026-03-30T08:00:00Z", false, "2026-04-03T00:30:00Z"),
        ("2026-12-23T08:00:00Z", false, "2026-12-25T01:30:00Z"),
    ] {
        assert_eq!(calendar.is_open(at.parse().unwrap()), is_open, "{at}");
        assert_eq!(calendar.next_opening(at.parse().unwrap()), Some(next.parse().unwrap()), "{at}");
    }
}

#[test]
fn a_calendar_opens_when_the_clock_shows_open_hours() {
    for (zone, fields, now, opening) in [
        // Berlin skips 02:00 to 03:00.
        (
            "Europe/Berlin",
            "hours = ['02:00-02:30']",
            "2026-03-28T20:00:00Z",
            "2026-03-30T00:00:00Z",
        ),
        (
            "Europe/Berlin",
            "hours = ['02:30-03:15']",
            "2026-03-28T20:00:00Z",
            "2026-03-29T01:00:00Z",
        ),
        // Berlin has 02:00 to 03:00 twice.
        (
            "Europe/Berlin",
            "hours = ['02:00-02:30']",
            "2026-10-24T23:00:00Z",
            "2026-10-25T00:00:00Z",
        ),
        (
            "Europe/Berlin",
            "hours = ['02:00-02:30']",
            "2026-10-25T00:30:00Z",
            "2026-10-25T01:00:00Z",
        ),
        (
            "Europe/Berlin",
            "hours = ['02:00-02:30']",
            "2026-10-25T01:30:00Z",
            "2026-10-26T01:00:00Z",
        ),
        // Lord Howe moves its clocks by 30 minutes.
        (
            "Australia/Lord_Howe",
            "hours = ['02:00-02:15']",
            "2026-10-03T14:00:00Z",
            "2026-10-04T15:00:00Z",
        ),
        // Chatham is 45 minutes off, and skips 02:45 to 03:45.
        (
            "Pacific/Chatham",
            "hours = ['02:50-04:00']",
            "2026-09-26T12:00:00Z",
            "2026-09-26T14:00:00Z",
        ),
        // The 29th of March has no midnight in Beirut, and the 6th of September has none in Santiago.
        ("Asia/Beirut", "days = ['sun']", "2026-03-28T12:00:00Z", "2026-03-28T22:00:00Z"),
        ("America/Santiago", "days = ['sun']", "2026-09-05T12:00:00Z", "2026-09-06T04:00:00Z"),
        // Apia had no 30th of December, a Friday, and Kwajalein no 21st of August, a Saturday.
        ("Pacific/Apia", "days = ['fri']", "2011-12-29T12:00:00Z", "2012-01-05T10:00:00Z"),
        ("Pacific/Apia", "days = ['sat']", "2011-12-29T12:00:00Z", "2011-12-30T10:00:00Z"),
        ("Pacific/Kwajalein", "days = ['sat']", "1993-08-20T12:00:00Z", "1993-08-27T12:00:00Z"),
        // Hours that begin on the day before the skipped one go on.
        (
            "Pacific/Apia",
            "days = ['thu']\nhours = ['22:00-04:00']",
            "2011-12-30T11:00:00Z",
            "2011-12-30T11:00:00Z",
        ),
        (
            "Pacific/Apia",
            "days = ['fri']\nhours = ['22:00-04:00']",
            "2011-12-30T11:00:00Z",
            "2012-01-06T08:00:00Z",
        ),
    ] {
        let calendar = calendar(zone, fields);
        let next = calendar.next_opening(at(now));
        assert_eq!(next, Some(at(opening)), "{zone}, {fields}, {now}");
        assert!(calendar.is_open(at(opening)), "{zone}, {fields}, {opening}");
    }
}

#[test]
fn hours_across_midnight_belong_to_the_day_on_which_they_begin() {
    let calendar = calendar(
        "UTC",
        "days = ['fri', 'sun']\nhours = ['22:00-04:00', '23:00-00:00']\n\
         closed_dates = ['2026-11-29', '2026-12-12']",
    );
    for (now, is_open, next) in [
        ("2026-11-27T03:00:00Z", false, "2026-11-27T22:00:00Z"),
        ("2026-11-27T22:00:00Z", true, "2026-11-27T22:00:00Z"),
        ("2026-11-28T03:59:59Z", true, "2026-11-28T03:59:59Z"),
        // Sunday is closed, and so is the night that begins on it.
        ("2026-11-28T04:00:00Z", false, "2026-12-04T22:00:00Z"),
        ("2026-11-30T01:00:00Z", false, "2026-12-04T22:00:00Z"),
        // The night of Friday ends when the closed Saturday begins.
        ("2026-12-11T23:59:59Z", true, "2026-12-11T23:59:59Z"),
        ("2026-12-12T00:00:00Z", false, "2026-12-13T22:00:00Z"),
    ] {
        assert_eq!(calendar.is_open(at(now)), is_open, "{now}");
        assert_eq!(calendar.next_opening(at(now)), Some(at(next)), "{now}");
    }
}

#[test]
fn a_calendar_without_an_opening_has_no_next_one() {
    let calendar = calendar("UTC", "days = ['sat']\nclosed_dates = ['2026-11-28']\n");
    assert_eq!(calendar.next_opening(at("2026-11-28T00:00:00Z")), Some(at("2026-12-05T00:00:00Z")));
    let sundays: Vec<_> = (0..60)
        .map(|week| at("2026-11-29T00:00:00Z") + Duration::from_secs(week * 7 * 86_400))
        .map(|sunday| format!("'{}'", &sunday.to_string()[..10]))
        .collect();
    let fields = format!("days = ['sun']\nclosed_dates = [{}]", sundays.join(", "));
    let toml = format!("{STEP}[calendar]\n{fields}");
    let plan = Plan::from_toml(&toml).unwrap();
    assert_eq!(plan.calendar().unwrap().next_opening(at("2026-11-28T12:00:00Z")), None);
}

#[test]
fn all_faults_of_a_calendar_are_listed() {
    let error = Plan::from_toml(&format!(
        "{STEP}calendar = {{ time_zone = 'Berlin', days = ['mon', 'Tue', 'wed-'], closed_dates = \
         ['2026-12-24', '24.12.', '2026-12-24T10:00', '20261224', '2026-12-32'], hours = ['+9:00-12:00', \
         '09:00-12:+5', '9:00-12:00', '09:00-09:00', '24:00-25:00', '09:00', '-1:00-02:00', '22:00-04:00'] \
         }}"
    ))
    .unwrap_err();
    let mut fields: Vec<_> = error.faults().iter().map(|fault| &*fault.field).collect();
    fields.sort_unstable();
    let expected = [
        "calendar.closed_dates[1]",
        "calendar.closed_dates[2]",
        "calendar.closed_dates[3]",
        "calendar.closed_dates[4]",
        "calendar.days[1]",
        "calendar.days[2]",
        "calendar.hours[0]",
        "calendar.hours[1]",
        "calendar.hours[2]",
        "calendar.hours[3]",
        "calendar.hours[4]",
        "calendar.hours[5]",
        "calendar.hours[6]",
        "calendar.time_zone",
    ];
    assert_eq!(fields, expected, "{error}");
    for zone in ["Etc/Unknown", "", "EST5EDT,M3.2.0,M11.1.0", "../etc/passwd"] {
        let plan = format!("{STEP}calendar = {{ time_zone = '{zone}' }}");
        let error = Plan::from_toml(&plan).unwrap_err().to_string();
        assert!(error.contains("calendar.time_zone: unknown time zone"), "{error}");
    }
}

/// The quarters of an hour around each clock change of two years, in all zones. All hours begin and
/// end at quarters, and all clocks change at quarters by quarters.
#[test]
fn the_next_opening_is_the_first_time_that_is_open_in_every_zone() {
    let hours = [
        "days = ['sun', 'tue-wed', 'fri']\nhours = ['01:15-02:30', '02:45-03:15', '23:30-24:00']",
        "days = ['sat']\nhours = ['22:00-02:15', '00:30-00:45']",
        "days = ['mon', 'sun']",
    ];
    let (mut zones, mut checked) = (0, 0);
    for zone in tz::db().available() {
        let zone = TimeZone::get(zone.as_str()).unwrap();
        let name = zone.iana_name().unwrap();
        if zone.is_unknown() {
            continue;
        }
        let calendars = hours.map(|fields| calendar(name, fields));
        zones += 1;
        for middle in moments(&zone) {
            let times: Vec<_> = (-150..150_i64)
                .map(|quarter| Timestamp::from_millis((middle + quarter * 900) * 1_000))
                .collect();
            for (calendar, fields) in calendars.iter().zip(hours) {
                let mut first_open = None;
                for now in times.iter().copied().rev() {
                    let is_open = calendar.is_open(now);
                    assert_eq!(is_open, shows_open(&zone, fields, now), "{name}, {fields}, {now}");
                    first_open = if is_open { Some(now) } else { first_open };
                    if first_open.is_some() {
                        let next = calendar.next_opening(now);
                        assert_eq!(next, first_open, "{name}, {fields}, {now}");
                        checked += 1;
                    }
                }
            }
        }
    }
    assert!(zones > 500 && checked > 100_000, "{zones} zones, {checked} times");
}

/// Returns the clock changes of 2026 and 2027, and two other moments, in seconds at quarters of an
/// hour.
fn moments(zone: &TimeZone) -> Vec<i64> {
    let [begin, end]: [jiff::Timestamp; 2] =
        ["2026-01-01T00:00:00Z", "2028-01-01T00:00:00Z"].map(|it| it.parse().unwrap());
    let changes = zone.following(begin).map(|change| change.timestamp());
    let changes = changes.take_while(|change| *change < end).map(jiff::Timestamp::as_second);
    let quarter = |second: i64| second.div_euclid(900) * 900;
    changes.chain([1_783_000_800, 1_814_000_400]).map(quarter).collect()
}

/// Reads the hours of the test from a clock of the zone.
fn shows_open(zone: &TimeZone, fields: &str, now: Timestamp) -> bool {
    use jiff::civil::Weekday::{Friday, Monday, Saturday, Sunday, Tuesday, Wednesday};
    let seconds = now.as_millis() / 1_000;
    let local: DateTime = zone.to_datetime(jiff::Timestamp::from_second(seconds).unwrap());
    let minute = i32::from(local.hour()) * 60 + i32::from(local.minute());
    let day = local.date().weekday();
    match fields {
        it if it.contains("tue-wed") => {
            [Sunday, Tuesday, Wednesday, Friday].contains(&day)
                && [75..150, 165..195, 1_410..1_440].iter().any(|range| range.contains(&minute))
        }
        it if it.contains("sat") => {
            (day == Saturday && ((30..45).contains(&minute) || minute >= 1_320))
                || (day == Sunday && minute < 135)
        }
        _ => [Monday, Sunday].contains(&day),
    }
}
