//! Schedules of `cron`: five fields and a time zone.
//!
//! In: an expression such as `0 3 * * *`, and the name of a zone. Out: the next time after a given one. This is own code
//! on jiff, because croner brings a second calendar library and the crates of a derive macro.
//!
//! When clocks are put forward, the times that do not exist run once, at the moment of the change. When clocks are put
//! back, an hour exists twice, and its times run in the first one. A schedule of every hour does neither: it runs in each
//! hour that passes.

mod fields;

use std::hash::{Hash, Hasher};

use jiff::{
    Timestamp,
    civil::{DateTime, Time},
    tz::{AmbiguousOffset, TimeZone},
};

use self::fields::Fields;

/// Maximum length of an expression, and of the name of a zone, in bytes.
const MAX_TEXT: usize = 128;
/// Maximum number of days that are searched for the next time. 29 February may be eight years away, such as from 2096.
const MAX_DAYS: usize = 366 * 9;
/// Maximum number of changes of the clocks within [`MAX_DAYS`], in any zone.
const MAX_CHANGES: usize = 64;

/// Schedule of `cron`.
#[derive(Debug, Clone)]
pub struct Cron {
    text: String,
    zone_name: String,
    fields: Fields,
    zone: TimeZone,
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        (&self.fields, &self.zone_name) == (&other.fields, &other.zone_name)
    }
}

impl Eq for Cron {}

impl Hash for Cron {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.fields, &self.zone_name).hash(state);
    }
}

impl Cron {
    /// Parses an expression.
    ///
    /// # Errors
    /// Returns the reason why the expression is not a schedule, why it never runs, or that there is no such zone.
    pub fn new(text: &str, zone_name: &str) -> Result<Self, String> {
        let cron = Self {
            fields: expression(text)?,
            zone: zone(zone_name)?,
            text: text.to_owned(),
            zone_name: zone_name.to_owned(),
        };
        match cron.next(Timestamp::now()) {
            Some(_) => Ok(cron),
            None => Err(format!(
                "the schedule `{text}` never runs: no such day exists"
            )),
        }
    }

    /// Returns the expression, and the name of the zone.
    pub fn source(&self) -> (&str, &str) {
        (&self.text, &self.zone_name)
    }

    /// Returns the first time of the schedule after `after`; `None` if there is none in the next nine years.
    pub fn next(&self, after: Timestamp) -> Option<Timestamp> {
        // Between two changes of the clocks, the offset from UTC is the same.
        let mut from = after;
        let mut local = self.zone.to_offset(after).to_datetime(next_minute(after)?);
        for _ in 0..MAX_CHANGES {
            let offset = self.zone.to_offset(from);
            let change = self.zone.following(from).next();
            let change = change.map(|change| change.timestamp());
            let found = self.next_local(local, |time| self.is_repeated(time, from))?;
            let time = offset.to_timestamp(found).ok()?;
            if change.is_none_or(|change| time < change) {
                return Some(time);
            }
            let change = change?;
            let (skipped, end) = (
                offset.to_datetime(change),
                self.zone.to_offset(change).to_datetime(change),
            );
            if (skipped..end).contains(&found) && !self.fields.is_hourly() {
                return Some(change);
            }
            (from, local) = (change, end);
        }
        None
    }

    /// Returns `true` for a time that a change of the clocks repeats, if `at` is after the change, and the schedule runs
    /// only in the first of the two.
    fn is_repeated(&self, time: DateTime, at: Timestamp) -> bool {
        let kind = self.zone.to_ambiguous_timestamp(time).offset();
        let AmbiguousOffset::Fold { after, .. } = kind else {
            return false;
        };
        !self.fields.is_hourly() && self.zone.to_offset(at) == after
    }

    /// Returns the first local time from `from` on, except those that `is_left_out` selects.
    fn next_local(
        &self,
        from: DateTime,
        is_left_out: impl Fn(DateTime) -> bool,
    ) -> Option<DateTime> {
        let (mut date, mut start) = (from.date(), from.time());
        for _ in 0..MAX_DAYS {
            if self.fields.has_day(date) {
                let times = self.fields.times(start);
                let times = times.map(|time| date.to_datetime(time));
                let found = times.into_iter().find(|time| !is_left_out(*time));
                if found.is_some() {
                    return found;
                }
            }
            date = self.fields.later_day(date)?;
            start = Time::midnight();
        }
        None
    }
}

/// Returns the start of the first minute after a time.
fn next_minute(after: Timestamp) -> Option<Timestamp> {
    let minutes = after.as_second().div_euclid(60) + 1;
    let next = minutes.checked_mul(60)?;
    Timestamp::from_second(next).ok()
}

fn expression(text: &str) -> Result<Fields, String> {
    match text.len() <= MAX_TEXT {
        true => Fields::new(text),
        false => Err(format!("a schedule has at most {MAX_TEXT} bytes")),
    }
}

fn zone(name: &str) -> Result<TimeZone, String> {
    let found = match name {
        "UTC" => Some(TimeZone::UTC),
        name if name.len() > MAX_TEXT => None,
        name => TimeZone::get(name).ok(),
    };
    found.ok_or_else(|| {
        let name: String = name.chars().take(MAX_TEXT).collect();
        format!("there is no time zone `{name}`; an example is `Europe/Berlin`")
    })
}

/// Returns the problem of an expression.
pub(crate) fn cron_problem(text: &str) -> Option<String> {
    Cron::new(text, "UTC").err()
}

/// Returns the problem of the name of a zone.
pub(crate) fn zone_problem(name: &str) -> Option<String> {
    zone(name).err()
}

#[cfg(test)]
mod tests;
