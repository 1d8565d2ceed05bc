//! Answers that a test sets in place of a database, and the statements that it has seen.

use parking_lot::Mutex;
use rhai::{Array, Dynamic, Map};

use super::{
    failure::Failure,
    statement::{Outcome, Parameter, Statement, Wanted},
};

/// Maximum number of calls that a test remembers.
const MAX_CALLS: usize = 1_000;

/// Answers of a test, and the calls of its scripts.
#[derive(Debug, Default)]
pub(super) struct StandIns {
    answers: Mutex<Vec<(String, Dynamic)>>,
    calls: Mutex<Vec<Map>>,
}

impl StandIns {
    /// Sets the answer of statements that contain a text. It goes before earlier ones.
    pub(super) fn set(&self, part: &str, answer: Dynamic) {
        self.answers.lock().insert(0, (part.to_owned(), answer));
    }

    /// Returns the statements since the last call.
    pub(super) fn take_calls(&self) -> Vec<Map> {
        std::mem::take(&mut self.calls.lock())
    }

    /// Remembers a statement.
    pub(super) fn record(&self, database: &str, statement: &Statement) {
        let parameters = statement.parameters.iter().map(shown).collect::<Array>();
        let call = [
            ("database", database.into()),
            ("sql", statement.sql.clone().into()),
            ("parameters", Dynamic::from_array(parameters)),
        ];
        let mut calls = self.calls.lock();
        if calls.len() < MAX_CALLS {
            calls.push(
                call.into_iter()
                    .map(|(key, value)| (key.into(), value))
                    .collect(),
            );
        }
    }

    /// Returns the answer of a statement, if the test has set one.
    pub(super) fn answer(&self, statement: &Statement) -> Option<Result<Outcome, Failure>> {
        let answers = self.answers.lock();
        let (_, answer) = answers
            .iter()
            .find(|(part, _)| statement.sql.contains(part))?;
        Some(outcome(answer, statement.wanted))
    }
}

fn shown(parameter: &Parameter) -> Dynamic {
    match parameter {
        Parameter::Null => Dynamic::UNIT,
        Parameter::Bool(flag) => (*flag).into(),
        Parameter::Int(number) => (*number).into(),
        Parameter::Float(number) => (*number).into(),
        Parameter::Text(text) => text.clone().into(),
        Parameter::Bytes(bytes) => Dynamic::from_blob(bytes.to_vec()),
        Parameter::Array(value) | Parameter::Map(value) => value.clone(),
    }
}

fn outcome(answer: &Dynamic, wanted: Wanted) -> Result<Outcome, Failure> {
    if let Some(map) = answer.read_lock::<Map>() {
        let error = map.get("error").map(ToString::to_string);
        return Err(error.unwrap_or_default().into());
    }
    if let (Some(rows), true) = (answer.read_lock::<Array>(), wanted != Wanted::Count) {
        return Ok(Outcome::Rows(rows.clone()));
    }
    let count = answer
        .as_int()
        .ok()
        .and_then(|count| u64::try_from(count).ok());
    match (count, wanted) {
        (Some(count), Wanted::Count | Wanted::Either) => Ok(Outcome::Count(count)),
        _ => {
            let problem = "`db_answer` takes an array of rows for `query`, a number of rows for `execute`, either of \
                           them for `transaction`, and `#{ error: \"...\" }` for all of them";
            Err(problem.to_owned().into())
        }
    }
}
