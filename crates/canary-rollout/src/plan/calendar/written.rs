use jiff::{
    civil::{Date, Weekday},
    tz::TimeZone,
};
use serde::{Deserialize, Serialize};

use super::{Calendar, hours::Hours};

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
    /// Ranges of the time of day without their ends, such as "09:00-16:00" or, across midnight,
    /// "22:00-04:00"; all day if empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    hours: Vec<String>,
    /// Dates on which the calendar is closed, such as "2026-12-24".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    closed_dates: Vec<String>,
}

impl WrittenCalendar {
    /// Returns the calendar, or all invalid fields with their messages.
    pub(crate) fn check(self) -> Result<Calendar, Vec<(String, String)>> {
        let mut faults = Vec::new();
        let zone = time_zone(&self.time_zone);
        let zone = zone.map_err(|why| faults.push(("time_zone".to_owned(), why)));
        let days = items("days", &self.days, weekdays, &mut faults);
        let hours = items("hours", &self.hours, Hours::parse, &mut faults);
        let closed = items("closed_dates", &self.closed_dates, closed_date, &mut faults);
        match zone {
            Ok(zone) if faults.is_empty() => {
                Ok(Calendar { written: self, zone, days: days.concat(), hours, closed })
            }
            _ => Err(faults),
        }
    }
}

/// Parses the items of a list, and adds those that are invalid to the faults.
fn items<T>(
    field: &str,
    texts: &[String],
    parse: impl Fn(&str) -> Result<T, String>,
    faults: &mut Vec<(String, String)>,
) -> Vec<T> {
    let mut parsed = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        match parse(text) {
            Ok(item) => parsed.push(item),
            Err(why) => faults.push((format!("{field}[{index}]"), why)),
        }
    }
    parsed
}

/// Returns a zone of the database that is compiled in, so that replicas on all machines agree.
fn time_zone(name: &str) -> Result<TimeZone, String> {
    let known = TimeZone::get(name).ok().filter(|zone| !zone.is_unknown());
    known.ok_or_else(|| {
        format!("unknown time zone {name:?}: expected a name such as \"Europe/Berlin\"")
    })
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

/// Parses a date. jiff accepts more forms, such as times, of which the calendar would ignore a part.
fn closed_date(text: &str) -> Result<Date, String> {
    let date = text.parse::<Date>().ok().filter(|date| date.to_string() == text);
    date.ok_or_else(|| format!("date {text:?}: expected a date such as \"2026-12-24\""))
}

fn utc() -> String {
    "UTC".to_owned()
}

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
