//! Fields of a schedule: which minutes, hours, days, months and days of the week.

use jiff::civil::{Date, Time};

/// Names of the months.
const MONTHS: [&str; 12] = [
    "jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec",
];
/// Names of the days of the week; Sunday is 0.
const WEEKDAYS: [&str; 7] = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
/// Expressions with a name, and their fields.
const NAMED: [(&str, &str); 7] = [
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@monthly", "0 0 1 * *"),
    ("@weekly", "0 0 * * 0"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@hourly", "0 * * * *"),
];

/// Fields of a schedule. Each is a set of numbers, one bit for each.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Fields {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// `true` if a day of the month or a day of the week is enough, because both are restricted.
    either: bool,
}

/// One of the five fields: its name, its smallest and largest number, and the names of the numbers.
struct Field {
    name: &'static str,
    from: u32,
    to: u32,
    names: &'static [&'static str],
}

const fn field(name: &'static str, from: u32, to: u32) -> Field {
    let names = &[];
    Field {
        name,
        from,
        to,
        names,
    }
}

const MINUTE: Field = field("minute", 0, 59);
const HOUR: Field = field("hour", 0, 23);
const DAY: Field = field("day of the month", 1, 31);
const MONTH: Field = Field {
    names: &MONTHS,
    ..field("month", 1, 12)
};
/// Sunday is 0 and 7.
const WEEKDAY: Field = Field {
    names: &WEEKDAYS,
    ..field("day of the week", 0, 7)
};

impl Fields {
    /// Parses an expression.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let text = text.trim().to_ascii_lowercase();
        if text.starts_with('@') {
            let named = NAMED.iter().find(|(name, _)| *name == text);
            return match named {
                Some((_, fields)) => Self::new(fields),
                None => Err(format!(
                    "there is no schedule `{text}`; there are `@hourly`, `@daily`, `@weekly`, `@monthly` and `@yearly`"
                )),
            };
        }
        let parts: Vec<_> = text.split_ascii_whitespace().collect();
        let [minute, hour, day, month, weekday] = parts[..] else {
            return Err(format!(
                "a schedule has five fields, such as `0 3 * * *` (minute, hour, day of the month, month, day of the \
                 week), and this one has {}",
                parts.len()
            ));
        };
        let weekdays = WEEKDAY.set(weekday)?;
        let is_any = |field: &str| field.starts_with('*');
        Ok(Self {
            minutes: MINUTE.set(minute)?,
            hours: HOUR.set(hour)?,
            days: DAY.set(day)?,
            months: MONTH.set(month)?,
            weekdays: weekdays | weekdays >> 7,
            either: !is_any(day) && !is_any(weekday),
        })
    }

    /// Returns `true` if the schedule has every hour.
    pub(super) const fn is_hourly(&self) -> bool {
        self.hours == (1 << 24) - 1
    }

    fn has_month(&self, date: Date) -> bool {
        has(self.months, date.month())
    }

    pub(super) fn has_day(&self, date: Date) -> bool {
        let day = has(self.days, date.day());
        let weekday = has(self.weekdays, date.weekday().to_sunday_zero_offset());
        let fits = match self.either {
            true => day || weekday,
            false => day && weekday,
        };
        fits && self.has_month(date)
    }

    /// Returns the next day that may be in the schedule.
    pub(super) fn later_day(&self, date: Date) -> Option<Date> {
        match self.has_month(date) {
            true => date.tomorrow().ok(),
            false => date.last_of_month().tomorrow().ok(),
        }
    }

    /// Returns the times of a day from `from` on.
    pub(super) fn times(&self, from: Time) -> impl Iterator<Item = Time> {
        let hours = (from.hour()..24).filter(|hour| has(self.hours, *hour));
        hours.flat_map(move |hour| {
            let first = match hour == from.hour() {
                true => from.minute(),
                false => 0,
            };
            let minutes = (first..60).filter(|minute| has(self.minutes, *minute));
            minutes.filter_map(move |minute| Time::new(hour, minute, 0, 0).ok())
        })
    }
}

fn has(set: u64, number: i8) -> bool {
    u32::try_from(number).is_ok_and(|number| set & (1 << number) != 0)
}

impl Field {
    /// Returns the numbers of a field, such as `*`, `5`, `mon-fri`, `*/15` or `0,30`.
    fn set(&self, text: &str) -> Result<u64, String> {
        let wrong = |part: &str| {
            let (from, to) = (self.from, self.to);
            format!(
                "`{part}` is no {}: it is {from} to {to}, `*`, a range such as `{from}-{to}`, a step such as `*/2`, or \
                 a list of these",
                self.name
            )
        };
        let mut parts = text.split(',');
        parts.try_fold(0, |set, part| {
            let more = self.part(part).ok_or_else(|| wrong(part))?;
            Ok(set | more)
        })
    }

    /// Returns the numbers of a part of a list; `None` if it is invalid.
    fn part(&self, text: &str) -> Option<u64> {
        let (range, step) = match text.split_once('/') {
            Some((range, step)) => (range, Some(number(step).filter(|step| *step > 0)?)),
            None => (text, None),
        };
        let (from, to) = match (range, range.split_once('-')) {
            ("*", _) => (self.from, self.to),
            (_, Some((from, to))) => self.range(from, to)?,
            // A number with a step goes on to the largest number.
            (one, None) if step.is_some() => (self.one(one)?, self.to),
            (one, None) => (self.one(one)?, self.one(one)?),
        };
        let step = usize::try_from(step.unwrap_or(1)).ok()?;
        let numbers = (from..=to).step_by(step);
        (from <= to).then(|| numbers.fold(0, |set, number| set | 1 << number))
    }

    /// Returns a range. A range that ends on Sunday ends on day 7.
    fn range(&self, from: &str, to: &str) -> Option<(u32, u32)> {
        let (from, to) = (self.one(from)?, self.one(to)?);
        let is_sunday = self.to == WEEKDAY.to && to == 0 && from > 0;
        Some((from, if is_sunday { WEEKDAY.to } else { to }))
    }

    fn one(&self, text: &str) -> Option<u32> {
        let name = self.names.iter().position(|name| *name == text);
        let named = name.and_then(|nth| u32::try_from(nth).ok());
        let number = named.map(|nth| nth + self.from).or_else(|| number(text));
        number.filter(|number| (self.from..=self.to).contains(number))
    }
}

/// Returns a number of one or two digits.
fn number(text: &str) -> Option<u32> {
    let is_number = (1..=2).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}
