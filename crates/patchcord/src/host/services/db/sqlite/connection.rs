//! One connection to SQLite.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, Error, ErrorCode, OpenFlags,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

use super::value;
use crate::host::services::db::{
    bounds::Bounds,
    failure::Failure,
    rows::{self, Room},
    stand_ins::StandIns,
    statement::{Job, Outcome, Statement, Wanted},
};

/// Number of instructions of SQLite between two looks at the clock.
const STEPS: i32 = 1_000;
/// Maximum number of prepared statements that a connection keeps.
const MAX_PREPARED: usize = 100;
/// Minimum of the maximum size of a value, in bytes.
const MIN_VALUE: usize = 1 << 20;
/// Maximum length of a pattern of `like`, in bytes, because the time of a match grows with it.
const MAX_PATTERN: i32 = 1_000;
/// Maximum number of pages of a database in memory: 256 MiB.
const MAX_PAGES: u32 = 1 << 16;
/// Pragmas that a script may use: those that change neither the safety of the file nor the connection.
const PRAGMAS: [&str; 12] = [
    "foreign_key_check",
    "foreign_key_list",
    "index_info",
    "index_list",
    "index_xinfo",
    "integrity_check",
    "optimize",
    "quick_check",
    "table_info",
    "table_list",
    "table_xinfo",
    "user_version",
];

/// Access of a connection to its database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

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

/// Opens a connection.
pub(super) fn open(
    file: Option<&Path>,
    access: Access,
    bounds: &Bounds,
) -> Result<Connection, Failure> {
    prepared(file, access, bounds).map_err(|error| {
        Failure::with_detail(
            "the file of the database cannot be opened",
            &error.to_string(),
        )
    })
}

fn prepared(file: Option<&Path>, access: Access, bounds: &Bounds) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = match file {
        Some(file) => Connection::open_with_flags(file, flags)?,
        None => Connection::open_in_memory_with_flags(flags)?,
    };
    connection.busy_timeout(bounds.timeout)?;
    connection.pragma_update(None, "foreign_keys", true)?;
    match (file, access) {
        (None, _) => connection.pragma_update(None, "max_page_count", MAX_PAGES)?,
        // Some file systems do not support the WAL mode; the file keeps its mode there.
        (_, Access::Write) => {
            connection.pragma_update_and_check(None, "journal_mode", "wal", |_| Ok(()))?;
        }
        (_, Access::Read) => connection.pragma_update(None, "query_only", true)?,
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // `"text"` is the name of a column and no string, as in PostgreSQL.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    let largest = bounds.max_bytes.max(MIN_VALUE);
    connection.set_limit(
        Limit::SQLITE_LIMIT_LENGTH,
        i32::try_from(largest).unwrap_or(i32::MAX),
    )?;
    connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    connection.set_limit(Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, MAX_PATTERN)?;
    connection.set_prepared_statement_cache_capacity(MAX_PREPARED);
    connection.authorizer(Some(authorize))?;
    Ok(connection)
}

/// Decides what statements of scripts may do: reach no other file, and change no setting.
fn authorize(context: AuthContext<'_>) -> Authorization {
    let is_allowed = match context.action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => false,
        AuthAction::Pragma { pragma_name, .. } => {
            let name = pragma_name.to_ascii_lowercase();
            PRAGMAS.contains(&name.as_str())
        }
        _ => true,
    };
    match is_allowed {
        true => Authorization::Allow,
        false => Authorization::Deny,
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

/// Returns the SQLSTATE of PostgreSQL for a violated constraint, so that scripts can tell them apart in either database.
const fn sql_state(extended: i32) -> Option<&'static str> {
    use rusqlite::ffi;

    match extended {
        ffi::SQLITE_CONSTRAINT_UNIQUE | ffi::SQLITE_CONSTRAINT_PRIMARYKEY => Some("23505"),
        ffi::SQLITE_CONSTRAINT_FOREIGNKEY => Some("23503"),
        ffi::SQLITE_CONSTRAINT_NOTNULL => Some("23502"),
        ffi::SQLITE_CONSTRAINT_CHECK => Some("23514"),
        _ => None,
    }
}

/// Describes an error of SQLite.
fn failure(error: &Error, bounds: &Bounds) -> Failure {
    let (of_sqlite, message) = match error {
        Error::SqliteFailure(error, message) => (error, message.clone()),
        Error::SqlInputError { error, msg, .. } => (error, Some(msg.clone())),
        Error::MultipleStatement => {
            let problem = "one call runs one statement: use `db::transaction` for several";
            return problem.to_owned().into();
        }
        Error::Empty => return "the statement is empty".to_owned().into(),
        other => return other.to_string().into(),
    };
    let message = message.unwrap_or_else(|| of_sqlite.to_string());
    match of_sqlite.code {
        ErrorCode::OperationInterrupted => Failure::timeout(bounds.timeout),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            let limit = humantime::format_duration(bounds.timeout);
            format!("the database is in use by another program for longer than {limit}, the limit of `--db-timeout`")
                .into()
        }
        ErrorCode::TooBig => bounds.too_large(),
        ErrorCode::AuthorizationForStatementDenied => {
            let problem = "the statement is not allowed: scripts cannot attach other files, nor change settings by `pragma`";
            problem.to_owned().into()
        }
        _ => match sql_state(of_sqlite.extended_code) {
            Some(state) => format!("{message} (SQLSTATE {state})").into(),
            None => message.into(),
        },
    }
}
