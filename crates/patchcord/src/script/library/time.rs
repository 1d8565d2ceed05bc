//! Formatting, parsing and calculation of times: `time`. A time is a number of milliseconds since 1970, as `now_ms()`
//! returns it.

use jiff::{
    Span, Timestamp, ZonedDateTime, civil, fmt::rfc2822, fmt::strtime::BrokenDownTime, tz::TimeZone,
};
use rhai::{
    Dynamic, Engine, EvalAltResult, INT, ImmutableString, Map, Module, NativeCallContext,
    combine_with_exported_module, plugin::export_module,
};

use super::Fallible;
use crate::script::{budget::produce, placed};

/// Maximum length of a format, of a time as a string, and of a time span, in bytes.
const MAX_TEXT: usize = 128;

pub(super) fn register(engine: &mut Engine) {
    let mut module = Module::new();
    combine_with_exported_module!(&mut module, "time", functions);
    engine.register_static_module("time", module.into());
}

fn bounded<'t>(function: &str, text: &'t str) -> Fallible<&'t str> {
    produce(text.len())?;
    match text.len() <= MAX_TEXT {
        true => Ok(text),
        false => Err(format!("`{function}` takes a string of at most {MAX_TEXT} bytes").into()),
    }
}

/// Parses a date without a time of day, which is at midnight in UTC. jiff also reads a time without a zone as its date.
fn bare_date(text: &str) -> Option<Timestamp> {
    let date = text.parse::<civil::Date>().ok()?;
    let midnight = date.to_zoned_datetime(TimeZone::UTC).ok()?;
    (date.to_string() == text).then(|| midnight.timestamp())
}

fn zoned(function: &str, ms: INT, zone: &str) -> Fallible<ZonedDateTime> {
    let time = Timestamp::from_millisecond(ms)
        .map_err(|_| format!("`{function}`: {ms} ms is not between the years -9999 and 9999"))?;
    let zone = match bounded(function, zone)? {
        "UTC" => TimeZone::UTC,
        name => TimeZone::get(name).map_err(|_| {
            format!("`{function}`: there is no time zone `{name}`; an example is `Europe/Berlin`")
        })?,
    };
    Ok(time.to_zoned_datetime(zone))
}

fn formatted(function: &str, ms: INT, format: &str, zone: &str) -> Fallible<ImmutableString> {
    let time = zoned(function, ms, zone)?;
    let text = BrokenDownTime::from(&time).to_string(bounded(function, format)?);
    let text = text.map_err(|error| format!("`{function}`: {error}"))?;
    produce(text.len())?;
    Ok(text.into())
}

fn added(function: &str, ms: INT, span: &str, zone: &str) -> Fallible<INT> {
    let time = zoned(function, ms, zone)?;
    let span: Span = bounded(function, span)?.parse().map_err(|_| {
        format!(
            "`{function}` takes a span such as `1 month`, `2h 30m` or `-7 days`, and got `{span}`"
        )
    })?;
    let sum = time.checked_add(span);
    let sum =
        sum.map_err(|_| format!("`{function}`: the sum is not between the years -9999 and 9999"))?;
    Ok(sum.timestamp().as_millisecond())
}

fn parts_of(ms: INT, zone: &str) -> Fallible<Map> {
    let time = zoned("time::parts", ms, zone)?;
    let parts = [
        ("year", INT::from(time.year())),
        ("month", time.month().into()),
        ("day", time.day().into()),
        ("hour", time.hour().into()),
        ("minute", time.minute().into()),
        ("second", time.second().into()),
        ("millisecond", time.millisecond().into()),
        ("weekday", time.weekday().to_monday_one_offset().into()),
    ];
    let parts = parts.into_iter();
    Ok(parts
        .map(|(name, part)| (name.into(), Dynamic::from(part)))
        .collect())
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Formats a time in UTC (RFC 3339): `2026-11-30T18:04:11.250Z`. The equivalent in Node is
    /// `new Date(ms).toISOString()`.
    ///
    /// ```rhai
    /// socket.emit("time", time::iso(now_ms()));
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn iso(
        context: NativeCallContext<'_>,
        ms: INT,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        placed(&context, || {
            formatted("time::iso", ms, "%Y-%m-%dT%H:%M:%S.%3fZ", "UTC")
        })
    }

    /// Parses a time, and returns it in milliseconds since 1970. Accepts RFC 3339 (`2026-11-30T18:04:11Z`, with any
    /// offset), a date (`2026-11-30`, which means midnight UTC), and RFC 2822, which HTTP and email use
    /// (`Mon, 30 Nov 2026 18:04:11 GMT`). Throws if the string has none of these formats. The equivalent in Node is
    /// `Date.parse`, which returns `NaN` instead of throwing, and guesses the meaning of other formats.
    ///
    /// ```rhai
    /// let issued = time::parse(socket.handshake.time);
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn parse(
        context: NativeCallContext<'_>,
        text: &str,
    ) -> Result<INT, Box<EvalAltResult>> {
        placed(&context, || {
            let text = bounded("time::parse", text)?.trim();
            let rfc = || rfc2822::parse(text).map(|time| time.timestamp());
            let time = text.parse::<Timestamp>().or_else(|_| rfc()).ok();
            let time = time.or_else(|| bare_date(text));
            let time = time.ok_or_else(|| {
                format!(
                    "`time::parse` takes a time such as `2026-11-30T18:04:11Z`, and got `{text}`"
                )
            })?;
            Ok(time.as_millisecond())
        })
    }

    /// Formats a time in UTC, according to a `strftime` format: `%Y-%m-%d %H:%M:%S`, `%A, %e %B`. The names of months
    /// and days are in English.
    ///
    /// ```rhai
    /// print(time::format(now_ms(), "%H:%M"));
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn format(
        context: NativeCallContext<'_>,
        ms: INT,
        format: &str,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        placed(&context, || formatted("time::format", ms, format, "UTC"))
    }

    /// Formats a time in a time zone from the IANA database, such as `Europe/Berlin`.
    ///
    /// ```rhai
    /// print(time::format(now_ms(), "%a %H:%M %Z", "Europe/Berlin"));
    /// ```
    #[rhai_fn(name = "format", return_raw)]
    pub(crate) fn format_in(
        context: NativeCallContext<'_>,
        ms: INT,
        format: &str,
        zone: &str,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        placed(&context, || formatted("time::format", ms, format, zone))
    }

    /// Adds a time span to a time: `"1 month"`, `"2h 30m"`, `"-7 days"`, or an ISO 8601 duration (`"P1DT12H"`). Months
    /// and years are calendar months and years: 31 January plus one month is the last day of February.
    ///
    /// ```rhai
    /// let trial_ends = time::add(now_ms(), "14 days");
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn add(
        context: NativeCallContext<'_>,
        ms: INT,
        span: &str,
    ) -> Result<INT, Box<EvalAltResult>> {
        placed(&context, || added("time::add", ms, span, "UTC"))
    }

    /// Adds a time span to a time in a time zone. A day there has 23 or 25 hours when daylight saving time starts or
    /// ends.
    ///
    /// ```rhai
    /// let tomorrow = time::add(now_ms(), "1 day", "Europe/Berlin");
    /// ```
    #[rhai_fn(name = "add", return_raw)]
    pub(crate) fn add_in(
        context: NativeCallContext<'_>,
        ms: INT,
        span: &str,
        zone: &str,
    ) -> Result<INT, Box<EvalAltResult>> {
        placed(&context, || added("time::add", ms, span, zone))
    }

    /// Returns the components of a time in UTC as a map: `year`, `month` (1 to 12), `day`, `hour`, `minute`, `second`,
    /// `millisecond`, and `weekday` (1 is Monday, 7 is Sunday). In Node, January is month 0, and Sunday is weekday 0.
    ///
    /// ```rhai
    /// let is_weekend = time::parts(now_ms()).weekday > 5;
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn parts(
        context: NativeCallContext<'_>,
        ms: INT,
    ) -> Result<Map, Box<EvalAltResult>> {
        placed(&context, || parts_of(ms, "UTC"))
    }

    /// Returns the components of a time in a time zone.
    ///
    /// ```rhai
    /// if time::parts(now_ms(), "Europe/Berlin").hour < 8 { print("early"); }
    /// ```
    #[rhai_fn(name = "parts", return_raw)]
    pub(crate) fn parts_in(
        context: NativeCallContext<'_>,
        ms: INT,
        zone: &str,
    ) -> Result<Map, Box<EvalAltResult>> {
        placed(&context, || parts_of(ms, zone))
    }
}
