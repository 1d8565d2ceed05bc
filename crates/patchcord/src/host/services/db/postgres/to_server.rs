//! Parameters of statements, in the types that the server expects.
//!
//! The server infers the types of parameters from the statement. Values are sent as text, which the server converts to
//! any type of its own, except binary data.

use std::{error::Error, fmt};

use bytes::{Bytes, BytesMut};
use rhai::{Array, Dynamic};
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type, to_sql_checked};

use crate::host::services::db::{failure::Failure, statement::Parameter};

/// Parameter in the form in which it is sent.
pub(super) enum Encoded {
    Null,
    Text(String),
    Bytes(Bytes),
}

/// Shows no value, because tokio-postgres may log parameters.
impl fmt::Debug for Encoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("...")
    }
}

impl ToSql for Encoded {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => return Ok(IsNull::Yes),
            Self::Text(text) => out.extend_from_slice(text.as_bytes()),
            Self::Bytes(bytes) => out.extend_from_slice(bytes),
        }
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        match self {
            Self::Bytes(_) => Format::Binary,
            Self::Null | Self::Text(_) => Format::Text,
        }
    }

    to_sql_checked!();
}

/// Encodes the parameter with a number, which begins with 1.
pub(super) fn encode(number: usize, parameter: &Parameter, of: &Type) -> Result<Encoded, Failure> {
    let wrong = |reason: String| Failure::from(format!("parameter {number} {reason}"));
    if matches!(parameter, Parameter::Null) {
        return Ok(Encoded::Null);
    }
    let of = base(of);
    if is_json(of) {
        return parameter.json().map(Encoded::Text).map_err(wrong);
    }
    if let (Parameter::Bytes(bytes), true) = (parameter, *of == Type::BYTEA) {
        return Ok(Encoded::Bytes(bytes.clone()));
    }
    let text = written(parameter, of);
    text.map(Encoded::Text).ok_or_else(|| {
        let hint = match (parameter, is_text(of)) {
            (Parameter::Int(_), true) => format!(": write `${number}::bigint`, or pass a string"),
            (Parameter::Float(_), true) => format!(": write `${number}::float8`, or pass a string"),
            (Parameter::Bool(_), true) => format!(": write `${number}::bool`, or pass a string"),
            (Parameter::Array(_) | Parameter::Map(_), true) => {
                format!(": write `${number}::jsonb`, or pass `json::stringify(value)`")
            }
            _ => String::new(),
        };
        wrong(format!(
            "is {}, and the statement expects `{}`{hint}",
            parameter.kind(),
            shown(of)
        ))
    })
}

/// Returns the type behind a domain.
fn base(of: &Type) -> &Type {
    match of.kind() {
        Kind::Domain(inner) => base(inner),
        _ => of,
    }
}

/// Returns the name of a type, as in a statement.
fn shown(of: &Type) -> String {
    match of.kind() {
        Kind::Array(element) => format!("{element}[]"),
        _ => of.to_string(),
    }
}

fn is_json(of: &Type) -> bool {
    matches!(*of, Type::JSON | Type::JSONB)
}

fn is_text(of: &Type) -> bool {
    matches!(
        *of,
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::UNKNOWN
    )
}

fn is_fraction(of: &Type) -> bool {
    matches!(*of, Type::FLOAT4 | Type::FLOAT8 | Type::NUMERIC)
}

fn is_whole(of: &Type) -> bool {
    matches!(*of, Type::INT2 | Type::INT4 | Type::INT8 | Type::OID)
}

/// Returns a value as the server reads it; `None` if the type does not fit.
fn written(parameter: &Parameter, of: &Type) -> Option<String> {
    match parameter {
        Parameter::Bool(flag) => (*of == Type::BOOL).then(|| flag.to_string()),
        Parameter::Int(number) => (is_whole(of) || is_fraction(of)).then(|| number.to_string()),
        Parameter::Float(number) => is_fraction(of).then(|| fraction(*number)),
        Parameter::Text(text) => {
            let is_other = *of == Type::BYTEA || matches!(of.kind(), Kind::Array(_));
            (!is_other).then(|| text.to_string())
        }
        Parameter::Array(value) => match of.kind() {
            Kind::Array(element) => array(&value.read_lock::<Array>()?, base(element)),
            _ => None,
        },
        Parameter::Null | Parameter::Bytes(_) | Parameter::Map(_) => None,
    }
}

fn fraction(number: f64) -> String {
    match number {
        number if number.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "Infinity".to_owned(),
        f64::NEG_INFINITY => "-Infinity".to_owned(),
        number => number.to_string(),
    }
}

/// Returns an array as the server reads it, as in `{"a","b",NULL}`.
fn array(elements: &[Dynamic], of: &Type) -> Option<String> {
    let elements = elements.iter().map(|element| {
        let element = Parameter::of_plain(element.clone());
        match &element {
            Parameter::Null => Some("NULL".to_owned()),
            Parameter::Array(inner) if !is_json(of) => array(&inner.read_lock::<Array>()?, of),
            Parameter::Bytes(bytes) if *of == Type::BYTEA => Some(format!(
                "\"\\\\x{}\"",
                data_encoding::HEXLOWER.encode(bytes)
            )),
            other if is_json(of) => other.json().ok().map(|json| quoted(&json)),
            other => written(other, of).map(|text| quoted(&text)),
        }
    });
    let elements = elements.collect::<Option<Vec<_>>>()?;
    Some(format!("{{{}}}", elements.join(",")))
}

fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        if c == '"' || c == '\\' {
            quoted.push('\\');
        }
        quoted.push(c);
    }
    quoted.push('"');
    quoted
}
