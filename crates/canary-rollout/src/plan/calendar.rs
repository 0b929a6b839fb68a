use std::time::Duration;

use jiff::{
    civil::{Date, DateTime, Time, Weekday},
    tz::{Offset, TimeZone},
};
use serde::Serialize;

use crate::timestamp::Timestamp;

mod hours;
mod written;

use self::hours::Hours;
pub(crate) use self::written::WrittenCalendar;

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
///
/// # Clock changes
///
/// Days and hours are those of a clock in the time zone. Hours that the clock skips do not open the
/// calendar, and hours that it shows twice open it twice.
///
/// # Hours across midnight
///
/// Hours such as `"22:00-04:00"` belong to the day on which they begin: with `days = ["fri"]`, the
/// calendar is open until four on Saturday. On a closed date no hours begin, and those of the day
/// before end at midnight.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(into = "WrittenCalendar")]
pub struct Calendar {
    written: WrittenCalendar,
    zone: TimeZone,
    days: Vec<Weekday>,
    hours: Vec<Hours>,
    closed: Vec<Date>,
}

impl Calendar {
    /// Returns whether the plan may raise the weight at this time.
    #[must_use]
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.is_open_at(self.zone.to_datetime(now.to_jiff()))
    }

    /// Returns the next time at which the plan may raise the weight: `now` if it may already, or
    /// `None` if it may not within 400 days.
    #[must_use]
    pub fn next_opening(&self, now: Timestamp) -> Option<Timestamp> {
        let end = (now + HORIZON).to_jiff();
        let changes = self.zone.following(now.to_jiff()).map(|change| change.timestamp());
        let mut begin = now.to_jiff();
        // Between two changes of the clock, its offset is constant.
        for change in changes.take_while(|change| *change < end).chain([end]) {
            let opening = self.opening_between(begin, change, self.zone.to_offset(begin));
            if opening.is_some() {
                return opening;
            }
            begin = change;
        }
        None
    }

    /// Returns the first time from `begin` and before `end` at which a clock with this offset shows
    /// open hours.
    fn opening_between(
        &self,
        begin: jiff::Timestamp,
        end: jiff::Timestamp,
        offset: Offset,
    ) -> Option<Timestamp> {
        let first = offset.to_datetime(begin);
        if self.is_open_at(first) {
            return Some(Timestamp::from_jiff(begin));
        }
        let midnight = [Time::midnight()].into_iter();
        let mut times: Vec<_> = midnight.chain(self.hours.iter().map(Hours::begin)).collect();
        times.sort_unstable();
        let mut date = first.date();
        loop {
            for time in &times {
                let local = date.to_datetime(*time);
                let at = offset.to_timestamp(local).ok()?;
                if at >= end {
                    return None;
                }
                if local > first && self.is_open_at(local) {
                    return Some(Timestamp::from_jiff(at));
                }
            }
            date = date.tomorrow().ok()?;
        }
    }

    fn is_open_at(&self, local: DateTime) -> bool {
        let (date, time) = (local.date(), local.time());
        if self.closed.contains(&date) {
            return false;
        }
        if self.hours.is_empty() {
            return self.is_open_on(date);
        }
        (self.is_open_on(date) && self.hours.iter().any(|hours| hours.contain(time)))
            || (self.hours.iter().any(|hours| hours.contain_on_next_day(time))
                && self.day_before(date).is_some_and(|before| self.is_open_on(before)))
    }

    /// Returns whether hours may begin on this date.
    fn is_open_on(&self, date: Date) -> bool {
        let is_day = self.days.is_empty() || self.days.contains(&date.weekday());
        is_day && !self.closed.contains(&date)
    }

    /// Returns the date before this one. A zone that changes sides of the date line skips a date.
    fn day_before(&self, date: Date) -> Option<Date> {
        let before = date.yesterday().ok()?;
        let midnight = self.zone.to_timestamp(before.to_datetime(Time::midnight())).ok()?;
        let is_skipped = self.zone.to_datetime(midnight).date() != before;
        if is_skipped { before.yesterday().ok() } else { Some(before) }
    }
}

impl From<Calendar> for WrittenCalendar {
    fn from(calendar: Calendar) -> Self {
        calendar.written
    }
}

/// The time to search for an opening.
const HORIZON: Duration = Duration::from_secs(400 * 86_400);
