//! Values of options: their validation, and their format in a configuration.

use std::{fmt, str::FromStr, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Maximum length of a duration: longer than anybody needs, and short enough to be added to any point in time.
const MAX_TIME: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Error for an option with an invalid value, returned by [`Options::validate`](crate::Options::validate).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("option `{name}`: {reason}")]
#[non_exhaustive]
pub struct InvalidOption {
    /// Path of the option in [`Options`](crate::Options), such as `transport.ping_interval`.
    pub name: &'static str,
    /// Reason why the value is invalid.
    pub reason: String,
}

impl InvalidOption {
    pub(crate) fn new(name: &'static str, reason: impl Into<String>) -> Self {
        Self {
            name,
            reason: reason.into(),
        }
    }

    /// Checks numbers that must not be 0.
    pub(crate) fn check_numbers(numbers: &[(&'static str, usize)]) -> Result<(), Self> {
        match numbers.iter().find(|(_, number)| *number == 0) {
            Some((name, _)) => Err(Self::new(name, "it must be greater than zero")),
            None => Ok(()),
        }
    }

    /// Checks durations, which must not be 0, and must not be too long to be added to any point in time.
    pub(crate) fn check_times(times: &[(&'static str, Duration)]) -> Result<(), Self> {
        for &(name, time) in times {
            if time.is_zero() {
                return Err(Self::new(name, "it must be greater than zero"));
            }
            Self::check_longest(name, time)?;
        }
        Ok(())
    }

    /// Checks a duration that may be 0.
    pub(crate) fn check_longest(name: &'static str, time: Duration) -> Result<(), Self> {
        match time > MAX_TIME {
            true => Err(Self::new(name, "at most 365 days is possible")),
            false => Ok(()),
        }
    }
}

/// Duration, written with a unit: `300ms`, `25s`, `1m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "it is hidden")]
pub struct Time(pub Duration);

/// Format of a duration, for errors.
const FORMAT: &str = "a number and a unit, such as `300ms` or `25s`";

impl FromStr for Time {
    type Err = String;

    /// Parses a duration that is longer than 0, and not too long to be added to any point in time.
    fn from_str(text: &str) -> Result<Self, String> {
        let time = humantime::parse_duration(text).map_err(|_| format!("expected {FORMAT}"))?;
        InvalidOption::check_times(&[("", time)]).map_err(|invalid| invalid.reason)?;
        Ok(Self(time))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        humantime::format_duration(self.0).fmt(f)
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = humantime::parse_duration(&text);
        time.map(Self)
            .map_err(|_| de::Error::invalid_value(de::Unexpected::Str(&text), &FORMAT))
    }
}

/// `#[serde(with)]` of a [`Duration`].
pub(crate) mod time {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer, Time};

    pub(crate) fn serialize<S: Serializer>(time: &Duration, to: S) -> Result<S::Ok, S::Error> {
        Time(*time).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Time::deserialize(from).map(|time| time.0)
    }
}

/// `#[serde(with)]` of an optional [`Duration`].
pub(crate) mod optional_time {
    use super::{Deserialize, Deserializer, Duration, Serialize, Serializer, Time};

    pub(crate) fn serialize<S: Serializer>(
        time: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        time.map(Time).serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Duration>, D::Error> {
        Ok(Option::<Time>::deserialize(from)?.map(|time| time.0))
    }
}

/// `#[serde(with)]` of a maximum, which is a number or `"none"`, because not every configuration format can express a
/// missing value.
pub(crate) mod maximum {
    use super::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged, expecting = "expected a whole number or \"none\"")]
    enum Written {
        Number(usize),
        Unlimited(Unlimited),
    }

    #[derive(Serialize, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Unlimited {
        None,
    }

    pub(crate) fn serialize<S: Serializer>(
        maximum: &Option<usize>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match maximum {
            Some(number) => Written::Number(*number),
            None => Written::Unlimited(Unlimited::None),
        }
        .serialize(to)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<usize>, D::Error> {
        Ok(match Option::deserialize(from)? {
            Some(Written::Number(number)) => Some(number),
            Some(Written::Unlimited(Unlimited::None)) | None => None,
        })
    }
}
