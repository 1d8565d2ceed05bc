//! Values of results, which the server sends in its binary formats.

use std::error::Error;

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};
use rhai::{Dynamic, FLOAT, INT};
use tokio_postgres::types::{FromSql, Kind, Type};

use crate::{
    host::services::db::failure::Failure,
    value::{self, Binary},
};

/// Version of the binary format of `jsonb`, its first byte.
const JSONB: u8 = 1;
/// Microseconds of a day.
const DAY: i64 = 86_400_000_000;
/// Start of the server's times, in microseconds since 1970: the beginning of the year 2000.
const EPOCH: i64 = 946_684_800_000_000;
/// Number of decimal digits in a group of a `numeric`.
const GROUP: usize = 4;
/// Maximum number of dimensions of an array, as in the server.
const MAX_DIMENSIONS: i32 = 6;

/// Bytes of a value; `None` for `null`.
pub(super) struct Raw<'a>(pub(super) Option<&'a [u8]>);

impl<'a> FromSql<'a> for Raw<'a> {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(bytes)))
    }

    fn from_sql_null(_: &Type) -> Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Converts a value of a column.
pub(super) fn decode(column: &str, of: &Type, bytes: &[u8]) -> Result<Dynamic, Failure> {
    if matches!(*of, Type::JSON | Type::JSONB) {
        return json(of, bytes)
            .map_err(|error| format!("the JSON in column `{column}`: {error}").into());
    }
    value_of(of, bytes).ok_or_else(|| {
        format!(
            "column `{column}` has a value of type `{of}` that scripts do not have: select it as text, with \
             `{column}::text`"
        )
        .into()
    })
}

fn json(of: &Type, bytes: &[u8]) -> Result<Dynamic, String> {
    let text = match (*of == Type::JSONB, bytes.split_first()) {
        (false, _) => bytes,
        (true, Some((&JSONB, text))) => text,
        (true, _) => return Err("unknown version".to_owned()),
    };
    let text = str::from_utf8(text).map_err(|error| error.to_string())?;
    value::value(text, &[], &value::Limits::default()).map_err(|error| error.to_string())
}

/// Converts a value; `None` if scripts have no such type.
fn value_of(of: &Type, bytes: &[u8]) -> Option<Dynamic> {
    Some(match *of {
        Type::BOOL => (take::<1>(bytes)? != [0]).into(),
        Type::INT2 => INT::from(i16::from_be_bytes(take(bytes)?)).into(),
        Type::INT4 => INT::from(i32::from_be_bytes(take(bytes)?)).into(),
        Type::INT8 => i64::from_be_bytes(take(bytes)?).into(),
        Type::OID => INT::from(u32::from_be_bytes(take(bytes)?)).into(),
        Type::FLOAT4 => {
            // By way of its shortest decimal form, so that 0.1 stays 0.1.
            let number = f32::from_be_bytes(take(bytes)?);
            number.to_string().parse::<FLOAT>().ok()?.into()
        }
        Type::FLOAT8 => f64::from_be_bytes(take(bytes)?).into(),
        Type::NUMERIC => numeric(bytes)?.into(),
        Type::BYTEA => Dynamic::from(Binary::from(bytes.to_vec())),
        Type::JSON | Type::JSONB => json(of, bytes).ok()?,
        Type::UUID => uuid::Uuid::from_slice(bytes).ok()?.to_string().into(),
        Type::TIMESTAMPTZ | Type::TIMESTAMP => {
            let has_zone = *of == Type::TIMESTAMPTZ;
            timestamp(i64::from_be_bytes(take(bytes)?), has_zone)?.into()
        }
        Type::DATE => date(i32::from_be_bytes(take(bytes)?))?.into(),
        Type::TIME => time(i64::from_be_bytes(take(bytes)?)).into(),
        Type::VOID => Dynamic::UNIT,
        Type::CHAR
        | Type::TEXT
        | Type::VARCHAR
        | Type::BPCHAR
        | Type::NAME
        | Type::UNKNOWN
        | Type::XML => text(bytes)?,
        _ => match of.kind() {
            Kind::Domain(inner) => value_of(inner, bytes)?,
            Kind::Enum(_) => text(bytes)?,
            Kind::Array(element) => array(element, bytes)?,
            _ if of.name() == "citext" => text(bytes)?,
            _ => return None,
        },
    })
}

fn text(bytes: &[u8]) -> Option<Dynamic> {
    str::from_utf8(bytes).ok().map(Into::into)
}

fn take<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// Returns a number from the front of the bytes, and removes it.
fn next<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (number, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*number)
}

fn timestamp(microseconds: i64, has_zone: bool) -> Option<String> {
    match microseconds {
        i64::MAX => return Some("infinity".to_owned()),
        i64::MIN => return Some("-infinity".to_owned()),
        _ => {}
    }
    let time = Timestamp::from_microsecond(microseconds.checked_add(EPOCH)?).ok()?;
    Some(match has_zone {
        true => time.to_string(),
        false => time.to_zoned_datetime(TimeZone::UTC).datetime().to_string(),
    })
}

fn date(days: i32) -> Option<String> {
    match days {
        i32::MAX => return Some("infinity".to_owned()),
        i32::MIN => return Some("-infinity".to_owned()),
        _ => {}
    }
    let since = SignedDuration::from_hours(i64::from(days).checked_mul(24)?);
    let date = Date::new(2000, 1, 1).ok()?.checked_add(since).ok()?;
    Some(date.to_string())
}

fn time(microseconds: i64) -> String {
    let microseconds = microseconds.clamp(0, DAY);
    let (seconds, fraction) = (microseconds / 1_000_000, microseconds % 1_000_000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    let text = format!("{hours:02}:{minutes:02}:{seconds:02}");
    match fraction {
        0 => text,
        _ => format!("{text}.{fraction:06}")
            .trim_end_matches('0')
            .to_owned(),
    }
}

/// Converts a decimal number of any size to its digits.
fn numeric(mut bytes: &[u8]) -> Option<String> {
    let count = u16::from_be_bytes(next(&mut bytes)?);
    let weight = i16::from_be_bytes(next(&mut bytes)?);
    let sign = u16::from_be_bytes(next(&mut bytes)?);
    let scale = usize::from(u16::from_be_bytes(next(&mut bytes)?));
    let sign = match sign {
        0x0000 => "",
        0x4000 => "-",
        0xc000 => return Some("NaN".to_owned()),
        0xd000 => return Some("Infinity".to_owned()),
        0xf000 => return Some("-Infinity".to_owned()),
        _ => return None,
    };
    let groups = (0..count).map(|_| Some(u16::from_be_bytes(next(&mut bytes)?)));
    let groups = groups.collect::<Option<Vec<_>>>()?;
    // The group with the number 0 is the last one before the point.
    let group = |number: i32| {
        let index = usize::try_from(i32::from(weight) - number).ok();
        let digits = index.and_then(|index| groups.get(index));
        format!("{:04}", digits.copied().unwrap_or_default())
    };
    let whole: String = (0..=i32::from(weight).max(0)).rev().map(group).collect();
    let whole = whole.trim_start_matches('0');
    let whole = if whole.is_empty() { "0" } else { whole };
    if scale == 0 {
        return Some(format!("{sign}{whole}"));
    }
    let groups = i32::try_from(scale.div_ceil(GROUP)).ok()?;
    let fraction: String = (1..=groups).map(|number| group(-number)).collect();
    let fraction = fraction.get(..scale)?;
    Some(format!("{sign}{whole}.{fraction}"))
}

fn array(of: &Type, mut bytes: &[u8]) -> Option<Dynamic> {
    let dimensions = i32::from_be_bytes(next(&mut bytes)?);
    let _has_nulls = next::<4>(&mut bytes)?;
    let _type = next::<4>(&mut bytes)?;
    if dimensions > MAX_DIMENSIONS {
        return None;
    }
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        lengths.push(u32::from_be_bytes(next(&mut bytes)?));
        let _first_index = next::<4>(&mut bytes)?;
    }
    match lengths.is_empty() {
        true => Some(Dynamic::from_array(Vec::new())),
        false => elements(of, &lengths, &mut bytes),
    }
}

fn elements(of: &Type, lengths: &[u32], bytes: &mut &[u8]) -> Option<Dynamic> {
    let Some((length, inner)) = lengths.split_first() else {
        let size = i32::from_be_bytes(next(bytes)?);
        let Ok(size) = usize::try_from(size) else {
            return Some(Dynamic::UNIT);
        };
        let (element, rest) = bytes.split_at_checked(size)?;
        *bytes = rest;
        return value_of(of, element);
    };
    let list = (0..*length).map(|_| elements(of, inner, bytes));
    list.collect::<Option<Vec<_>>>().map(Dynamic::from_array)
}
