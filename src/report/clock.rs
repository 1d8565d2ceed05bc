//! Time of day of a log line.

use std::time::SystemTime;

use jiff::{Timestamp, tz::TimeZone};

/// Returns the local time of day, such as `18:04:11`. If the system has no time zone, it is that of UTC, with a `Z`.
pub(super) fn time_of_day(time: SystemTime) -> String {
    of_zone(time, TimeZone::try_system().ok().as_ref())
}

fn of_zone(time: SystemTime, zone: Option<&TimeZone>) -> String {
    let time = Timestamp::try_from(time).unwrap_or_default();
    match zone {
        Some(zone) => time
            .to_zoned_datetime(zone.clone())
            .strftime("%H:%M:%S")
            .to_string(),
        None => time.strftime("%H:%M:%SZ").to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use jiff::tz;

    use super::*;

    #[test]
    fn a_time_is_that_of_the_zone_or_marked_as_utc() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(17 * 3600 + 4 * 60 + 11);
        let zone = TimeZone::fixed(tz::offset(1));
        assert_eq!(of_zone(time, Some(&zone)), "18:04:11");
        assert_eq!(of_zone(time, None), "17:04:11Z");
    }
}
