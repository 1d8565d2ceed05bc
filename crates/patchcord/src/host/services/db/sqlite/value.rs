//! Values of SQLite and of scripts.

use rhai::{Dynamic, Identifier};
use rusqlite::{
    Error, Statement as Prepared, ToSql,
    types::{ToSqlOutput, Value, ValueRef},
};

use crate::{
    host::services::db::{
        failure::Failure,
        rows::{self, Room},
        statement::{Parameter, Statement},
    },
    value::{self, Binary},
};

/// Reason why parameters cannot be bound.
pub(super) enum Problem {
    Parameters(Failure),
    Sqlite(Error),
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Sqlite(error)
    }
}

impl ToSql for Parameter {
    fn to_sql(&self) -> Result<ToSqlOutput<'_>, Error> {
        Ok(match self {
            Self::Null => ToSqlOutput::Owned(Value::Null),
            Self::Bool(flag) => ToSqlOutput::Owned(Value::Integer((*flag).into())),
            Self::Int(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            Self::Float(number) => ToSqlOutput::Owned(Value::Real(*number)),
            Self::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            Self::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
            Self::Array(_) | Self::Map(_) => {
                let json = self.json();
                let json = json.map_err(|error| Error::ToSqlConversionFailure(error.into()))?;
                ToSqlOutput::Owned(Value::Text(json))
            }
        })
    }
}

/// Returns the number of the parameter at an index of a prepared statement. SQLite itself numbers `?` and `?1`. It takes
/// `$1` for a name, and numbers names in the order in which they occur.
fn number(prepared: &Prepared<'_>, index: usize) -> Result<usize, Failure> {
    let Some(name) = prepared.parameter_name(index) else {
        return Ok(index);
    };
    let number = name.strip_prefix(['$', '?']).unwrap_or_default();
    match number.parse() {
        Ok(number) if number > 0 => Ok(number),
        _ => Err(
            format!("the parameters of a statement are `$1`, `$2` and so on, found `{name}`")
                .into(),
        ),
    }
}

/// Binds the parameters of a statement.
pub(super) fn bind(prepared: &mut Prepared<'_>, statement: &Statement) -> Result<(), Problem> {
    let indices = 1..=prepared.parameter_count();
    let numbers = indices.clone().map(|index| number(prepared, index));
    let numbers = numbers.collect::<Result<Vec<_>, _>>();
    let numbers = numbers.map_err(Problem::Parameters)?;
    let most = numbers.iter().copied().max().unwrap_or_default();
    statement
        .check_parameters(most)
        .map_err(Problem::Parameters)?;
    for (index, number) in indices.zip(numbers) {
        if let Some(parameter) = statement.parameters.get(number - 1) {
            prepared.raw_bind_parameter(index, parameter)?;
        }
    }
    Ok(())
}

/// Declared type of a column, as far as it says more than the type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declared {
    Bool,
    Json,
    Other,
}

/// Columns of a result.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) names: Vec<Identifier>,
    declared: Vec<Declared>,
}

impl Columns {
    pub(super) fn new(prepared: &Prepared<'_>) -> Result<Self, Failure> {
        let columns = prepared.columns().map(|column| {
            let declared = column.decl_type().map(str::to_ascii_lowercase);
            match declared.as_deref() {
                Some("bool" | "boolean") => Declared::Bool,
                Some("json" | "jsonb") => Declared::Json,
                _ => Declared::Other,
            }
        });
        Ok(Self {
            declared: columns.collect(),
            names: rows::columns(prepared.column_names())?,
        })
    }

    /// Converts a value of a column, and counts it.
    pub(super) fn value(
        &self,
        index: usize,
        name: &str,
        value: ValueRef<'_>,
        room: &mut Room<'_>,
    ) -> Result<Dynamic, Failure> {
        let declared = self.declared.get(index).copied().unwrap_or(Declared::Other);
        let size = match value {
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
            _ => 0,
        };
        room.value(name, size)?;
        Ok(match value {
            ValueRef::Null => Dynamic::UNIT,
            ValueRef::Integer(number) if declared == Declared::Bool => (number != 0).into(),
            ValueRef::Integer(number) => number.into(),
            ValueRef::Real(number) => number.into(),
            ValueRef::Blob(bytes) => Dynamic::from(Binary::from(bytes.to_vec())),
            ValueRef::Text(bytes) => {
                let text = str::from_utf8(bytes);
                let text = text.map_err(|_| format!("the text in column `{name}` is not UTF-8"))?;
                let json = (declared == Declared::Json)
                    .then(|| value::value(text, &[], &value::Limits::default()).ok());
                json.flatten().unwrap_or_else(|| text.into())
            }
        })
    }
}
