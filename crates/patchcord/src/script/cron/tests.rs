//! Times of schedules, compared with a model that looks at every minute.

use std::time::Duration;

use jiff::{Timestamp, ZonedDateTime, civil::Weekday, tz::TimeZone};
use proptest::{collection::vec, prelude::*, sample::select};

use super::Cron;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Returns the times of a schedule after `from`, in its zone.
fn times(text: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let cron = Cron::new(text, zone).unwrap();
    let mut now = at(from);
    (0..count)
        .map(|_| {
            now = cron.next(now).unwrap();
            let local = now.to_zoned_datetime(TimeZone::get(zone).unwrap());
            local.strftime("%Y-%m-%d %H:%M %:z").to_string()
        })
        .collect()
}

#[test]
fn a_schedule_has_the_times_that_its_fields_name() {
    let from = "2026-01-01T00:00:00Z";
    for (text, expected) in [
        ("0 3 * * *", ["2026-01-01 03:00", "2026-01-02 03:00"]),
        ("0 0 * * *", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("@daily", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("@HOURLY", ["2026-01-01 01:00", "2026-01-01 02:00"]),
        ("*/20 * * * *", ["2026-01-01 00:20", "2026-01-01 00:40"]),
        ("5/50 * * * *", ["2026-01-01 00:05", "2026-01-01 00:55"]),
        ("0 8-18/5 * * *", ["2026-01-01 08:00", "2026-01-01 13:00"]),
        ("0 12 * * MON", ["2026-01-05 12:00", "2026-01-12 12:00"]),
        ("0 12 * * 7", ["2026-01-04 12:00", "2026-01-11 12:00"]),
        ("0 12 * * fri-sun", ["2026-01-02 12:00", "2026-01-03 12:00"]),
        ("0 0 29 feb *", ["2028-02-29 00:00", "2032-02-29 00:00"]),
        ("0 0 31 * *", ["2026-01-31 00:00", "2026-03-31 00:00"]),
        // Both kinds of days are restricted: one is enough.
        ("0 0 2 * sat", ["2026-01-02 00:00", "2026-01-03 00:00"]),
        ("15,45 0 1 1,7 *", ["2026-01-01 00:15", "2026-01-01 00:45"]),
    ] {
        let found = times(text, "UTC", from, 2);
        let expected = expected.map(|time| format!("{time} +00:00"));
        assert_eq!(found, expected, "{text}");
    }
    assert_eq!(
        times("0 0 29 2 *", "UTC", "2097-01-01T00:00:00Z", 1),
        ["2104-02-29 00:00 +00:00"]
    );
}

#[test]
fn a_time_that_does_not_exist_runs_once_when_the_clocks_change() {
    let from = "2026-03-28T12:00:00Z";
    for text in ["30 2 * * *", "0,30 2 * * *", "59 2 * * *"] {
        let found = times(text, "Europe/Berlin", from, 2);
        assert_eq!(found[0], "2026-03-29 03:00 +02:00", "{text}");
        assert!(found[1].starts_with("2026-03-30 02:"), "{found:?}");
    }
    assert_eq!(
        times("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3),
        [
            "2026-03-29 01:30 +01:00",
            "2026-03-29 03:00 +02:00",
            "2026-03-29 03:30 +02:00"
        ]
    );
    assert_eq!(
        times("59 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 2),
        ["2026-03-29 01:59 +01:00", "2026-03-29 03:59 +02:00"]
    );
    assert_eq!(
        times("59 1,2 * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 2),
        ["2026-03-29 01:59 +01:00", "2026-03-29 03:00 +02:00"]
    );
    // A clock that is put forward by half an hour, in Australia.
    assert_eq!(
        times(
            "15 2 * * *",
            "Australia/Lord_Howe",
            "2026-10-03T00:00:00Z",
            2
        ),
        ["2026-10-04 02:30 +11:00", "2026-10-05 02:15 +11:00"]
    );
}

#[test]
fn a_time_that_exists_twice_runs_once_unless_the_schedule_has_every_hour() {
    let from = "2026-10-24T12:00:00Z";
    assert_eq!(
        times("30 2 * * *", "Europe/Berlin", from, 2),
        ["2026-10-25 02:30 +02:00", "2026-10-26 02:30 +01:00"]
    );
    assert_eq!(
        times("30 2,3 * * *", "Europe/Berlin", from, 3),
        [
            "2026-10-25 02:30 +02:00",
            "2026-10-25 03:30 +01:00",
            "2026-10-26 02:30 +01:00"
        ]
    );
    assert_eq!(
        times("30 * * * *", "Europe/Berlin", "2026-10-25T00:00:00Z", 3),
        [
            "2026-10-25 02:30 +02:00",
            "2026-10-25 02:30 +01:00",
            "2026-10-25 03:30 +01:00"
        ]
    );
}

#[test]
fn what_is_no_schedule_is_an_error() {
    for (text, zone, expected) in [
        ("0 3 * *", "UTC", "a schedule has five fields"),
        ("0 0 3 * * *", "UTC", "this one has 6"),
        ("", "UTC", "this one has 0"),
        ("60 3 * * *", "UTC", "`60` is no minute: it is 0 to 59"),
        ("0 24 * * *", "UTC", "`24` is no hour"),
        ("0 3 0 * *", "UTC", "`0` is no day of the month"),
        ("0 3 * 13 *", "UTC", "`13` is no month"),
        ("0 3 * * 8", "UTC", "`8` is no day of the week"),
        ("0 3 * * mo", "UTC", "`mo` is no day of the week"),
        ("5-1 * * * *", "UTC", "`5-1` is no minute"),
        ("*/0 * * * *", "UTC", "`*/0` is no minute"),
        ("1,,2 * * * *", "UTC", "`` is no minute"),
        ("-1 * * * *", "UTC", "`-1` is no minute"),
        ("+1 * * * *", "UTC", "`+1` is no minute"),
        ("* * L * *", "UTC", "`l` is no day of the month"),
        ("@reboot", "UTC", "there is no schedule `@reboot`"),
        ("0 0 30 2 *", "UTC", "the schedule `0 0 30 2 *` never runs"),
        (
            "0 3 * * *",
            "Europe/Berlim",
            "there is no time zone `Europe/Berlim`",
        ),
        ("0 3 * * *", "", "there is no time zone ``"),
    ] {
        let error = Cron::new(text, zone).unwrap_err();
        assert!(error.contains(expected), "{text}: {error}");
    }
    assert!(
        Cron::new(&"0".repeat(129), "UTC")
            .unwrap_err()
            .contains("128 bytes")
    );
    assert!(Cron::new("@daily", &"x".repeat(10_000)).unwrap_err().len() < 300);
}

/// Fields of a schedule of the model.
#[derive(Debug, Clone)]
struct Model {
    minutes: Vec<i8>,
    hours: Vec<i8>,
    weekdays: Vec<i8>,
}

impl Model {
    fn text(&self) -> String {
        let list = |all: &[i8]| match all.is_empty() {
            true => "*".to_owned(),
            false => all.iter().map(i8::to_string).collect::<Vec<_>>().join(","),
        };
        let (minutes, hours) = (list(&self.minutes), list(&self.hours));
        format!("{minutes} {hours} * * {}", list(&self.weekdays))
    }

    fn has(&self, minute: i8, hour: i8, weekday: Weekday) -> bool {
        let fits = |all: &[i8], one: i8| all.is_empty() || all.contains(&one);
        fits(&self.minutes, minute)
            && fits(&self.hours, hour)
            && fits(&self.weekdays, weekday.to_sunday_zero_offset())
    }

    fn fits(&self, time: &ZonedDateTime) -> bool {
        self.has(time.minute(), time.hour(), time.weekday())
    }

    /// Returns `true` if the schedule runs at this minute. The clock on the wall of the zone went from `before` to
    /// `now` in the last minute, and may have jumped.
    fn runs(&self, before: &ZonedDateTime, now: &ZonedDateTime) -> bool {
        let jump = now.offset().seconds() - before.offset().seconds();
        let skipped = (1..=jump.max(0) / 60).any(|minutes: i32| {
            let wall =
                before.datetime() + Duration::from_secs(60 * u64::from(minutes.unsigned_abs()));
            self.has(wall.minute(), wall.hour(), wall.weekday())
        });
        let is_second = || {
            (1..=3 * 60).any(|minutes| {
                let earlier = now - Duration::from_secs(60 * minutes);
                earlier.datetime() == now.datetime()
            })
        };
        let is_left_out = || !self.hours.is_empty() && is_second();
        skipped && !self.hours.is_empty() || self.fits(now) && !is_left_out()
    }
}

/// Returns the text of a zone, and days around which its clocks change, over years.
fn zones() -> impl Strategy<Value = (&'static str, &'static str)> {
    select(vec![
        ("Europe/Berlin", "2024-03-30T12:00:00Z"),
        ("Europe/Berlin", "2026-10-24T12:00:00Z"),
        ("Europe/Berlin", "2037-03-28T12:00:00Z"),
        ("Europe/Berlin", "2050-10-29T12:00:00Z"),
        ("America/New_York", "2026-03-07T12:00:00Z"),
        ("America/New_York", "2031-11-01T12:00:00Z"),
        ("America/Sao_Paulo", "2018-11-03T12:00:00Z"),
        ("America/Sao_Paulo", "2018-02-17T12:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T00:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T00:00:00Z"),
        ("Africa/Casablanca", "2026-02-14T12:00:00Z"),
        ("Pacific/Apia", "2011-12-29T12:00:00Z"),
        ("Asia/Kathmandu", "2026-06-01T00:00:00Z"),
        ("UTC", "2026-12-31T00:00:00Z"),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn the_times_are_those_of_a_clock_on_the_wall(
        minutes in vec(0_i8..60, 1..4),
        hours in prop_oneof![Just(vec![]), vec(0_i8..5, 1..4), vec(0_i8..24, 1..4)],
        weekdays in prop_oneof![Just(vec![]), vec(0_i8..7, 1..5)],
        (zone, from) in zones(),
    ) {
        let model = Model { minutes, hours, weekdays };
        let cron = Cron::new(&model.text(), zone).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let (mut before, mut found) = (at(from).to_zoned_datetime(zone), at(from));
        let end = at(from) + Duration::from_secs(48 * 60 * 60);
        while before.timestamp() < end {
            let now = &before + Duration::from_secs(60);
            if model.runs(&before, &now) {
                found = cron.next(found).unwrap();
                prop_assert_eq!(found, now.timestamp(), "{:?}: {}", model, now);
            }
            before = now;
        }
        prop_assert!(cron.next(found).unwrap() > before.timestamp());
    }
}

#[test]
fn ten_years_have_one_run_on_each_day() {
    for (zone, text) in [
        ("Europe/Berlin", "30 2 * * *"),
        ("America/New_York", "30 1 * * *"),
    ] {
        let cron = Cron::new(text, zone).unwrap();
        let zone = TimeZone::get(zone).unwrap();
        let mut now = at("2025-12-31T12:00:00Z");
        let mut day = jiff::civil::date(2026, 1, 1);
        while day.year() < 2036 {
            now = cron.next(now).unwrap();
            assert_eq!(now.to_zoned_datetime(zone.clone()).date(), day);
            day = day.tomorrow().unwrap();
        }
    }
}
