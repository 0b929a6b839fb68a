use jiff::civil::Time;

/// A range of the time of day.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hours {
    begin: Time,
    end: End,
}

/// The end of the range, which does not belong to it.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    SameDay(Time),
    Midnight,
    NextDay(Time),
}

impl Hours {
    /// Parses a range such as "09:00-16:00". "24:00" is the end of the day.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let fail = || {
            format!("hours {text:?}: expected a range such as \"09:00-16:00\" or \"22:00-04:00\"")
        };
        let (begin, end) = text.split_once('-').ok_or_else(fail)?;
        let begin = time(begin.trim()).ok_or_else(fail)?;
        let end = match end.trim() {
            "24:00" | "00:00" => End::Midnight,
            end => match time(end).ok_or_else(fail)? {
                end if end > begin => End::SameDay(end),
                end if end < begin => End::NextDay(end),
                _ => {
                    let day = "expected an end that differs from the begin; the whole day is \
                               \"00:00-24:00\"";
                    return Err(format!("hours {text:?}: {day}"));
                }
            },
        };
        Ok(Self { begin, end })
    }

    pub(super) const fn begin(&self) -> Time {
        self.begin
    }

    /// Returns whether the time belongs to the range on the day on which the range begins.
    pub(super) fn contain(&self, time: Time) -> bool {
        self.begin <= time
            && match self.end {
                End::SameDay(end) => time < end,
                End::Midnight | End::NextDay(_) => true,
            }
    }

    /// Returns whether the time belongs to the range on the day after it began.
    pub(super) fn contain_on_next_day(&self, time: Time) -> bool {
        matches!(self.end, End::NextDay(end) if time < end)
    }
}

/// Parses "09:00": four digits, without a sign.
fn time(text: &str) -> Option<Time> {
    let number = |digits: &str| {
        let is_number = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        if is_number { digits.parse::<i8>().ok() } else { None }
    };
    let (hour, minute) = text.split_once(':')?;
    Time::new(number(hour)?, number(minute)?, 0, 0).ok()
}
