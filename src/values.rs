//! Types of option values: how they are parsed, and how `--help` shows them.

use std::{fmt, str::FromStr, time::Duration};

use clap::ValueEnum;
use patchcord::host;
pub(super) use patchcord::script::Time;

/// Length of time that may be zero, such as `0s` or `25s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeOrZero(pub(super) Duration);

impl FromStr for TimeOrZero {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match humantime::parse_duration(text) {
            Ok(time) if time.is_zero() => Ok(Self(time)),
            _ => text.parse().map(|Time(time)| Self(time)),
        }
    }
}

impl fmt::Display for TimeOrZero {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Time(self.0).fmt(f)
    }
}

/// Units of a [`Size`], the larger ones of a kind first.
const UNITS: [(&str, usize); 7] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Number of bytes, such as `1MB`, `64KiB` or `1000000`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size(pub(super) usize);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = text.get(digits.len()..).unwrap_or_default();
        let factor = UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .map(|(_, factor)| *factor)
            .or(unit.is_empty().then_some(1));
        let number = digits.trim_end().parse::<usize>().ok();
        match (number, factor) {
            (Some(0), _) => Err("it must be greater than zero".to_owned()),
            (Some(number), Some(factor)) => number
                .checked_mul(factor)
                .map(Self)
                .ok_or_else(|| "it is too large".to_owned()),
            _ => Err(
                "expected whole bytes with or without a unit, such as `1MB`, `64KiB` or `5000`"
                    .to_owned(),
            ),
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |(_, factor): &&(&str, usize)| self.0.is_multiple_of(*factor);
        match UNITS.iter().find(whole) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => self.0.fmt(f),
        }
    }
}

/// Whole number, 1 or more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count(pub(super) usize);

impl FromStr for Count {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(0) | Err(_) => Err("expected a whole number, 1 or more".to_owned()),
            Ok(count) => Ok(Self(count)),
        }
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// [`Count`], or unlimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Maximum(pub(super) Option<usize>);

impl FromStr for Maximum {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "none" | "unlimited" => Ok(Self(None)),
            count => match count.parse() {
                Ok(Count(count)) => Ok(Self(Some(count))),
                Err(_) => Err("expected a whole number, 1 or more, or `none`".to_owned()),
            },
        }
    }
}

impl fmt::Display for Maximum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(count) => count.fmt(f),
            None => f.write_str("none"),
        }
    }
}

/// Rules of `--allow-env`, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct EnvRules(Result<Vec<host::EnvRule>, String>);

impl FromStr for EnvRules {
    type Err = std::convert::Infallible;

    /// Never fails, because the error of an option shows its whole value, which may contain a secret. See
    /// [`EnvRules::rules`].
    fn from_str(mut text: &str) -> Result<Self, Self::Err> {
        let mut rules = Vec::new();
        while !text.is_empty() {
            let (rule, rest) = split_rule(text);
            let name = rule.split('=').next().unwrap_or_default();
            match rule.parse() {
                Ok(rule) => rules.push(rule),
                Err(bad) => return Ok(Self(Err(format!("`{name}`: {bad}")))),
            }
            text = rest;
        }
        Ok(Self(Ok(rules)))
    }
}

impl EnvRules {
    /// Returns the rules.
    ///
    /// # Errors
    /// Returns an error that shows no value.
    pub(super) fn rules(&self) -> Result<&[host::EnvRule], String> {
        self.0.as_deref().map_err(Clone::clone)
    }
}

/// Splits a list of rules after its first rule. A value, as in `NAME=VALUE`, may contain commas, so it extends to the
/// end.
fn split_rule(text: &str) -> (&str, &str) {
    let is_value = |rule: &str| rule.contains('=') && !rule.contains("=@");
    match text.split_once(',') {
        Some((rule, rest)) if !is_value(rule) => (rule, rest),
        _ => (text, ""),
    }
}

/// Databases of `--db`, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DatabaseUrls(pub(super) Vec<host::DatabaseUrl>);

impl FromStr for DatabaseUrls {
    type Err = host::BadDatabaseUrl;

    /// A URL may contain commas itself: a part that is no database continues the one before.
    fn from_str(text: &str) -> Result<Self, host::BadDatabaseUrl> {
        let mut urls = Vec::<String>::new();
        for part in text.split(',') {
            match urls.last_mut() {
                Some(last) if part.parse::<host::DatabaseUrl>().is_err() => {
                    last.push(',');
                    last.push_str(part);
                }
                _ => urls.push(part.to_owned()),
            }
        }
        let urls = urls.iter().map(|url| url.parse());
        Ok(Self(urls.collect::<Result<_, _>>()?))
    }
}

/// Parses a [`Count`] of at most `MOST`.
pub(super) fn at_most<const MOST: usize>(text: &str) -> Result<Count, String> {
    match text.parse() {
        Ok(Count(count)) if count <= MOST => Ok(Count(count)),
        _ => Err(format!("expected a whole number from 1 to {MOST}")),
    }
}

/// Parses a number of operations.
pub(super) fn operations(text: &str) -> Result<u64, String> {
    text.parse().map(|Count(count)| count as u64)
}

/// Parses a TCP port.
pub(super) fn port(text: &str) -> Result<u16, String> {
    text.parse()
        .map_err(|_| "expected a number from 0 to 65535".to_owned())
}

/// Checks that a text is an address with a port on which a server can listen.
pub(super) fn address(text: &str) -> Result<String, String> {
    let port = text.rsplit_once(':').filter(|(name, _)| !name.is_empty());
    match port.is_some_and(|(_, port)| port.parse::<u16>().is_ok()) {
        true => Ok(text.to_owned()),
        false => Err("expected an address and a port, such as `127.0.0.1:9100`".to_owned()),
    }
}

/// Parses a number of proxies; `true` is one, `false` none.
pub(super) fn proxies(text: &str) -> Result<usize, String> {
    match text {
        "true" => Ok(1),
        "false" => Ok(0),
        number => number
            .parse()
            .map_err(|_| "expected how many proxies stand in front of the server".to_owned()),
    }
}

/// Parses the path of the Socket.IO endpoint, and removes trailing slashes.
pub(super) fn path(text: &str) -> Result<String, String> {
    let mut options = host::Options::default();
    text.trim_end_matches('/')
        .clone_into(&mut options.transport.path);
    options.validate().map_err(|error| error.reason)?;
    Ok(options.transport.path)
}

/// Values of `--on-rebind-failure`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnRebindFailure {
    Reject,
    Disconnect,
}

impl From<OnRebindFailure> for host::OnRebindFailure {
    fn from(value: OnRebindFailure) -> Self {
        match value {
            OnRebindFailure::Reject => Self::Reject,
            OnRebindFailure::Disconnect => Self::Disconnect,
        }
    }
}

/// Values of `--transports`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Transport {
    Polling,
    Websocket,
}

impl From<Transport> for host::Transport {
    fn from(value: Transport) -> Self {
        match value {
            Transport::Polling => Self::Polling,
            Transport::Websocket => Self::Websocket,
        }
    }
}

/// Format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum LogFormat {
    /// Lines for people
    Text,
    /// One JSON object per line
    Json,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn sizes_have_units_and_come_back_as_they_were_written() {
        for (text, bytes) in [
            ("1MB", 1_000_000),
            ("16MiB", 16 << 20),
            ("1KiB", 1024),
            ("5kB", 5000),
            ("999B", 999),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)));
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!("1000".parse(), Ok(Size(1000)));
        assert_eq!("1 mb".parse(), Ok(Size(1_000_000)));
        for text in ["", "MB", "1.5MB", "-1", "1XB", "0", "99999999999GB", "1M"] {
            assert!(text.parse::<Size>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_need_a_unit_and_a_sensible_length() {
        assert_eq!("300ms".parse(), Ok(Time(Duration::from_millis(300))));
        assert_eq!(Time(Duration::from_secs(25)).to_string(), "25s");
        for text in ["", "25", "0s", "1000years", "soon", "-1s"] {
            assert!(text.parse::<Time>().is_err(), "{text}");
        }
        for (text, seconds) in [("0", 0), ("0s", 0), ("5s", 5)] {
            let time = Duration::from_secs(seconds);
            assert_eq!(text.parse(), Ok(TimeOrZero(time)), "{text}");
        }
        assert!("5".parse::<TimeOrZero>().is_err());
        assert_eq!(TimeOrZero(Duration::ZERO).to_string(), "0s");
    }

    #[test]
    fn the_path_of_the_endpoint_is_a_plain_one() {
        assert_eq!(path("/chat/ws/").as_deref(), Ok("/chat/ws"));
        for text in ["", "/", "socket.io", "/a//b", "/{x}", "/a b", "/a?b"] {
            assert!(path(text).is_err(), "{text}");
        }
    }
}
