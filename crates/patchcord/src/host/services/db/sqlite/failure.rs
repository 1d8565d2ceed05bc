//! Errors of SQLite, as scripts see them.

use rusqlite::{Error, ErrorCode};

use crate::host::services::db::{bounds::Bounds, failure::Failure};

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
pub(super) fn failure(error: &Error, bounds: &Bounds) -> Failure {
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
