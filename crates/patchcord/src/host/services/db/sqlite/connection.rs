//! Runs statements on one connection to SQLite.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Error};

use super::{failure::failure, open::Access, value};
use crate::host::services::db::{
    bounds::Bounds,
    failure::Failure,
    rows::{self, Room},
    stand_ins::StandIns,
    statement::{Job, Outcome, Statement, Wanted},
};

/// Number of instructions of SQLite between two looks at the clock.
const STEPS: i32 = 1_000;

/// Reason why a connection has not run the statements.
#[derive(Debug)]
pub(super) enum Refused {
    /// The connection reads, and the statement writes.
    Write,
    Failed(Failure),
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Runs the statements until the deadline.
pub(super) fn run(
    connection: &mut Connection,
    job: &Job,
    (access, deadline): (Access, Instant),
    bounds: &Bounds,
    stand_ins: Option<&StandIns>,
) -> Result<Vec<Outcome>, Refused> {
    let left = deadline.saturating_duration_since(Instant::now());
    let failed = |error: &Error| failure(error, bounds);
    let limited = connection.busy_timeout(left).and_then(|()| {
        connection.progress_handler(STEPS, Some(move || Instant::now() >= deadline))
    });
    limited.map_err(|error| failed(&error))?;
    let outcomes = statements(connection, job, access, bounds, stand_ins);
    let _ = connection.progress_handler(0, None::<fn() -> bool>);
    if connection.is_autocommit() {
        return outcomes;
    }
    // Nothing waits for a lock here, so this takes no time.
    let _ = connection.busy_timeout(Duration::ZERO);
    let _ = connection.execute_batch("rollback");
    match outcomes {
        Ok(_) => Err(Failure::open_transaction().into()),
        failed => failed,
    }
}

fn statements(
    connection: &Connection,
    job: &Job,
    access: Access,
    bounds: &Bounds,
    stand_ins: Option<&StandIns>,
) -> Result<Vec<Outcome>, Refused> {
    let control = |sql: &str| {
        let done = connection.execute_batch(sql);
        done.map_err(|error| failure(&error, bounds))
    };
    if job.in_transaction {
        control("begin immediate")?;
    }
    let mut room = Room::new(bounds);
    let mut outcomes = Vec::new();
    for (statement, number) in job.statements.iter().zip(1..) {
        let locate = |failure| job.locate(number, failure);
        let answer = stand_ins.and_then(|set| set.answer(statement));
        let outcome = match answer {
            Some(answer) => answer.map_err(locate)?,
            None => match one(connection, statement, access, bounds, &mut room) {
                Err(Refused::Failed(failure)) => {
                    return Err(locate(hinted(failure, stand_ins)).into());
                }
                outcome => outcome?,
            },
        };
        statement.check(&outcome).map_err(locate)?;
        if job.in_transaction && connection.is_autocommit() {
            let problem = "the statement has ended the transaction".to_owned();
            return Err(locate(problem.into()).into());
        }
        outcomes.push(outcome);
    }
    if job.in_transaction {
        control("commit")?;
    }
    Ok(outcomes)
}

/// Adds what a test can do about a statement that its database does not understand.
fn hinted(mut failure: Failure, stand_ins: Option<&StandIns>) -> Failure {
    if stand_ins.is_some() {
        failure.text += "; tests run statements in SQLite, and `db_answer(part, answer)` answers those that contain a text instead";
    }
    failure
}

fn one(
    connection: &Connection,
    statement: &Statement,
    access: Access,
    bounds: &Bounds,
    room: &mut Room<'_>,
) -> Result<Outcome, Refused> {
    let failed = |error: Error| Refused::Failed(failure(&error, bounds));
    let before = connection.total_changes();
    let mut prepared = connection.prepare_cached(&statement.sql).map_err(failed)?;
    if access == Access::Read && !prepared.readonly() {
        return Err(Refused::Write);
    }
    let has_columns = prepared.column_count() > 0;
    value::bind(&mut prepared, statement).map_err(|problem| match problem {
        value::Problem::Parameters(failure) => failure,
        value::Problem::Sqlite(error) => failure(&error, bounds),
    })?;
    let mut found = prepared.raw_query();
    let mut list = Vec::new();
    let mut columns = None;
    let is_wanted = match statement.wanted {
        Wanted::Rows => true,
        Wanted::Count => false,
        Wanted::Either => has_columns,
    };
    while let Some(row) = found.next().map_err(failed)? {
        if !is_wanted {
            continue;
        }
        room.row()?;
        let columns = match &columns {
            Some(columns) => columns,
            None => columns.insert(value::Columns::new(row.as_ref())?),
        };
        list.push(rows::row(&columns.names, |index, name| {
            let value = row
                .get_ref(index)
                .map_err(|error| failure(&error, bounds))?;
            columns.value(index, name, value, room)
        })?);
    }
    if is_wanted {
        return Ok(Outcome::Rows(list));
    }
    // `changes` keeps the number of an earlier statement if this one changes no rows.
    let has_changed = connection.total_changes() != before;
    Ok(Outcome::Count(match has_changed {
        true => connection.changes(),
        false => 0,
    }))
}
