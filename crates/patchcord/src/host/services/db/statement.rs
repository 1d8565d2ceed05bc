//! Statements, their parameters, and their outcomes.

use bytes::Bytes;
use rhai::{Array, Dynamic, FLOAT, INT, ImmutableString};

use super::failure::Failure;
use crate::value::{self, Binary, Secret};

/// Statements that one call runs.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) statements: Vec<Statement>,
    /// `true` if all statements take effect together, or none.
    pub(super) in_transaction: bool,
}

/// One statement.
#[derive(Debug)]
pub(super) struct Statement {
    pub(super) sql: ImmutableString,
    pub(super) parameters: Vec<Parameter>,
    pub(super) wanted: Wanted,
    /// Number of rows that the statement must return or change; any number if `None`.
    pub(super) expected: Option<usize>,
}

/// Kind of outcome that the caller wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// Rows.
    Rows,
    /// Number of changed rows.
    Count,
    /// Rows, if the statement has columns; otherwise the number of changed rows.
    Either,
}

/// Outcome of a statement.
#[derive(Debug)]
pub(super) enum Outcome {
    Rows(Array),
    Count(u64),
}

impl Outcome {
    pub(super) fn into_value(self) -> Dynamic {
        match self {
            Self::Rows(rows) => Dynamic::from_array(rows),
            Self::Count(count) => INT::try_from(count).unwrap_or(INT::MAX).into(),
        }
    }

    fn count(&self) -> u64 {
        match self {
            Self::Rows(rows) => rows.len() as u64,
            Self::Count(count) => *count,
        }
    }
}

/// Parameter of a statement.
#[derive(Debug, Clone)]
pub(super) enum Parameter {
    Null,
    Bool(bool),
    Int(INT),
    Float(FLOAT),
    Text(ImmutableString),
    Bytes(Bytes),
    /// Array of plain values.
    Array(Dynamic),
    /// Map of plain values.
    Map(Dynamic),
}

impl Parameter {
    /// Converts the parameter with a number, which begins with 1.
    fn new(number: usize, value: &Dynamic) -> Result<Self, Failure> {
        let wrong = |what: String| {
            Failure::from(format!(
                "parameter {number} {what}, which a database cannot keep"
            ))
        };
        if !value.is_locked() && value.read_lock::<Secret>().is_some() {
            let problem = format!(
                "parameter {number} is a secret: pass `secret.reveal()` if the database may see it"
            );
            return Err(problem.into());
        }
        let plain = value::plain(value).map_err(|problem| match problem.path.as_str() {
            "" => wrong(format!("is {}", problem.what)),
            path => wrong(format!("contains {} at `{path}`", problem.what)),
        })?;
        Ok(Self::of_plain(plain))
    }

    /// Converts a value that [`value::plain`] has copied.
    pub(super) fn of_plain(value: Dynamic) -> Self {
        if value.is_unit() {
            return Self::Null;
        }
        if value.is_array() {
            return Self::Array(value);
        }
        if value.is_map() {
            return Self::Map(value);
        }
        if value.is_blob() {
            return Self::Bytes(value.into_blob().unwrap_or_default().into());
        }
        if let Some(binary) = value.read_lock::<Binary>() {
            return Self::Bytes(binary.as_bytes().clone());
        }
        let number = value.as_int().map(Self::Int);
        let number = number.or_else(|_| value.as_float().map(Self::Float));
        let simple = number.or_else(|_| value.as_bool().map(Self::Bool));
        simple.unwrap_or_else(|_| Self::Text(value.to_string().into()))
    }

    /// Returns the parameter as JSON.
    pub(super) fn json(&self) -> Result<String, String> {
        let value = match self {
            Self::Array(value) | Self::Map(value) => value.clone(),
            Self::Text(text) => text.clone().into(),
            Self::Float(number) => (*number).into(),
            Self::Int(number) => (*number).into(),
            Self::Bool(flag) => (*flag).into(),
            Self::Null => Dynamic::UNIT,
            Self::Bytes(_) => return Err("binary data is not JSON".to_owned()),
        };
        value::to_json(&value).map_err(|error| error.to_string())
    }

    /// Returns the kind of the parameter, with its article, for messages.
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Null => "`()`",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Text(_) => "a string",
            Self::Bytes(_) => "binary data",
            Self::Array(_) => "an array",
            Self::Map(_) => "a map",
        }
    }
}

impl Statement {
    /// Creates a statement from the arguments of a script.
    pub(super) fn new(
        sql: ImmutableString,
        parameters: &Array,
        wanted: Wanted,
    ) -> Result<Self, Failure> {
        let numbered = parameters.iter().zip(1..);
        let parameters = numbered.map(|(value, number)| Parameter::new(number, value));
        Ok(Self {
            sql,
            parameters: parameters.collect::<Result<_, _>>()?,
            wanted,
            expected: None,
        })
    }

    /// Creates a statement of a transaction: `[sql]`, `[sql, parameters]` or `[sql, parameters, rows]`.
    fn of_list(list: &Dynamic) -> Result<Self, Failure> {
        let shape = || {
            let shape = "expected `[sql]`, `[sql, parameters]` or `[sql, parameters, rows]`";
            Failure::from(shape.to_owned())
        };
        if list.is_locked() {
            return Err(shape());
        }
        let parts = list.read_lock::<Array>().ok_or_else(shape)?;
        let (sql, rest) = parts.split_first().ok_or_else(shape)?;
        let sql = sql.clone().flatten().into_immutable_string();
        let sql = sql.map_err(|_| shape())?;
        let (parameters, expected) = match rest {
            [] => (Array::new(), None),
            [parameters] => (
                parameters
                    .clone()
                    .flatten()
                    .into_array()
                    .map_err(|_| shape())?,
                None,
            ),
            [parameters, expected] => {
                let expected = expected.clone().flatten().as_int().ok();
                let expected = expected.and_then(|rows| usize::try_from(rows).ok());
                let expected = Some(expected.ok_or_else(shape)?);
                (
                    parameters
                        .clone()
                        .flatten()
                        .into_array()
                        .map_err(|_| shape())?,
                    expected,
                )
            }
            _ => return Err(shape()),
        };
        let statement = Self::new(sql, &parameters, Wanted::Either)?;
        Ok(Self {
            expected,
            ..statement
        })
    }

    /// Checks that the statement has returned or changed as many rows as it must.
    pub(super) fn check(&self, outcome: &Outcome) -> Result<(), Failure> {
        let count = outcome.count();
        match self.expected {
            Some(expected) if count != expected as u64 => Err(Failure::from(format!(
                "expected {expected} rows, found {count}"
            ))),
            _ => Ok(()),
        }
    }

    /// Checks the number of parameters.
    pub(super) fn check_parameters(&self, taken: usize) -> Result<(), Failure> {
        let given = self.parameters.len();
        match taken == given {
            true => Ok(()),
            false => Err(Failure::from(format!(
                "the statement has {taken} parameters, found {given} values"
            ))),
        }
    }
}

impl Job {
    /// Creates the job of one statement.
    pub(super) fn single(statement: Statement) -> Self {
        Self {
            statements: vec![statement],
            in_transaction: false,
        }
    }

    /// Creates a transaction from the argument of a script.
    pub(super) fn transaction(statements: &Array) -> Result<Self, Failure> {
        let numbered = statements.iter().zip(1..);
        let statements = numbered.map(|(list, number)| {
            Statement::of_list(list).map_err(|failure| failure.in_statement(number))
        });
        Ok(Self {
            statements: statements.collect::<Result<_, _>>()?,
            in_transaction: true,
        })
    }

    /// Names the statement in a failure, if there are several.
    pub(super) fn locate(&self, number: usize, failure: Failure) -> Failure {
        match self.in_transaction {
            true => failure.in_statement(number),
            false => failure,
        }
    }
}
