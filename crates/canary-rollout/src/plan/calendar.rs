use jiff::{
    civil::{Date, Time, Weekday},
    tz::{AmbiguousOffset, TimeZone},
};
use serde::{Deserialize, Serialize};

use crate::timestamp::Timestamp;

/// The times at which the plan may raise the weight.
///
/// While the calendar is closed, the plan keeps the weight, and the canary is still judged.
/// Lowering the weight is always allowed. Operators may set a weight and promote at any time.
///
/// ```
/// use canary_rollout::Plan;
///
/// let plan = Plan::from_toml(
///     r#"
///     preset = "Canary10Percent5Minutes"
///
///     [calendar]
///     time_zone = "Europe/Berlin"
///     days = ["mon-thu"]
///     hours = ["09:00-12:00", "13:00-16:00"]
///     closed_dates = ["2026-12-24"]
///     "#,
/// )?;
/// let calendar = plan.calendar().expect("the plan has one");
/// let friday = "2026-11-27T10:00:00Z".parse()?;
/// assert!(!calendar.is_open(friday));
/// assert_eq!(calendar.next_opening(friday), Some("2026-11-30T08:00:00Z".parse()?));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "WrittenCalendar")]
pub struct Calendar {
    written: WrittenCalendar,
    zone: TimeZone,
    days: Vec<Weekday>,
    hours: Vec<(Time, Option<Time>)>,
    closed: Vec<Date>,
}

/// The times at which the plan may raise the weight. Lowering it is always allowed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[cfg_attr(test, schemars(rename = "Calendar"))]
#[serde(deny_unknown_fields)]
pub(crate) struct WrittenCalendar {
    /// A name from the IANA time zone database, such as "Europe/Berlin"; UTC by default.
    #[serde(default = "utc")]
    time_zone: String,
    /// Weekdays ("mon") and ranges ("mon-fri"); every day if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    days: Vec<String>,
    /// Ranges of the time of day, such as "09:00-16:00", without the end; all day if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hours: Vec<String>,
    /// Dates on which the calendar is closed, such as "2026-12-24".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    closed_dates: Vec<String>,
}

impl Calendar {
    /// Creates a calendar, or returns the invalid field and the message.
    pub(crate) fn try_new(written: WrittenCalendar) -> Result<Self, (String, String)> {
        // The database is compiled in, so that replicas on all machines agree.
        let zone = TimeZone::get(&written.time_zone).map_err(|_| {
            let zone = &written.time_zone;
            let expected = "expected a name such as \"Europe/Berlin\"";
            ("time_zone".to_owned(), format!("unknown time zone {zone:?}: {expected}"))
        })?;
        let mut days = Vec::new();
        for (index, text) in written.days.iter().enumerate() {
            days.extend(weekdays(text).map_err(|why| (format!("days[{index}]"), why))?);
        }
        let mut hours = Vec::new();
        for (index, text) in written.hours.iter().enumerate() {
            hours.push(hour_range(text).map_err(|why| (format!("hours[{index}]"), why))?);
        }
        let mut closed = Vec::new();
        for (index, text) in written.closed_dates.iter().enumerate() {
            let date: Date = text.parse().map_err(|_| {
                let expected = "expected a date such as \"2026-12-24\"";
                (format!("closed_dates[{index}]"), format!("date {text:?}: {expected}"))
            })?;
            closed.push(date);
        }
        Ok(Self { written, zone, days, hours, closed })
    }

    /// Returns whether the plan may raise the weight at this time.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        let local = self.zone.to_datetime(now.to_jiff());
        self.is_open_on(local.date()) && self.is_open_at(local.time())
    }

    /// Returns the next time at which the plan may raise the weight: `now` if it may already, or
    /// `None` if it may not within 400 days.
    #[must_use]
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        if self.is_open(now) {
            return Some(now);
        }
        let mut date = self.zone.to_datetime(now.to_jiff()).date();
        for _ in 0..HORIZON {
            if self.is_open_on(date) {
                let opening = self.openings(date).filter(|at| *at >= now).min();
                if opening.is_some() {
                    return opening;
                }
            }
            date = date.tomorrow().ok()?;
        }
        None
    }

    fn openings(&self, date: Date) -> impl Iterator<Item = Timestamp> {
        let midnight = [Time::midnight()];
        let begins = self.hours.iter().map(|(begin, _)| *begin);
        let begins: Vec<Time> =
            if self.hours.is_empty() { midnight.to_vec() } else { begins.collect() };
        begins.into_iter().filter_map(move |begin| {
            let ambiguous = self.zone.to_ambiguous_timestamp(date.to_datetime(begin));
            if let AmbiguousOffset::Gap { .. } = ambiguous.offset() {
                // The clocks skip this time in spring. The range begins when they go forward.
                let before = ambiguous.earlier().ok()?;
                let change = self.zone.following(before).next()?;
                return Some(Timestamp::from_jiff(change.timestamp()));
            }
            Some(Timestamp::from_jiff(ambiguous.compatible().ok()?))
        })
    }

    fn is_open_on(&self, date: Date) -> bool {
        let is_day = self.days.is_empty() || self.days.contains(&date.weekday());
        is_day && !self.closed.contains(&date)
    }

    fn is_open_at(&self, time: Time) -> bool {
        let holds = |(begin, end): &(Time, Option<Time>)| {
            *begin <= time && end.is_none_or(|end| time < end)
        };
        self.hours.is_empty() || self.hours.iter().any(holds)
    }
}

impl From<Calendar> for WrittenCalendar {
    fn from(calendar: Calendar) -> Self {
        calendar.written
    }
}

fn utc() -> String {
    "UTC".to_owned()
}

fn weekdays(text: &str) -> Result<Vec<Weekday>, String> {
    let fail = || format!("days {text:?}: expected \"mon\" to \"sun\", or a range \"mon-fri\"");
    let day = |name: &str| {
        let at = DAYS.iter().position(|day| *day == name.trim()).ok_or_else(fail)?;
        Weekday::from_monday_zero_offset(i8::try_from(at).unwrap_or(0)).map_err(|_| fail())
    };
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let last = day(last)?;
    let mut days = vec![day(first)?];
    while let Some(latest) = days.last().filter(|latest| **latest != last) {
        days.push(latest.next());
    }
    Ok(days)
}

/// Parses a range of the time of day. "24:00" is the end of the day.
fn hour_range(text: &str) -> Result<(Time, Option<Time>), String> {
    let fail = || format!("hours {text:?}: expected a range within a day, such as \"09:00-16:00\"");
    let time = |text: &str| -> Result<Time, String> {
        let (hour, minute) = text.trim().split_once(':').ok_or_else(fail)?;
        let number = |digits: &str| digits.parse::<i8>().map_err(|_| fail());
        if hour.len() != 2 || minute.len() != 2 {
            return Err(fail());
        }
        Time::new(number(hour)?, number(minute)?, 0, 0).map_err(|_| fail())
    };
    let (begin, end) = text.split_once('-').ok_or_else(fail)?;
    let begin = time(begin)?;
    let end = if end.trim() == "24:00" { None } else { Some(time(end)?) };
    if end.is_some_and(|end| end <= begin) {
        return Err(fail());
    }
    Ok((begin, end))
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The number of days to search for an opening.
const HORIZON: u32 = 400;
