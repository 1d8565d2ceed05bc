//! Opens connections to SQLite, and decides what statements may do.

use std::path::Path;

use rusqlite::{
    Connection, Error, OpenFlags,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

use crate::host::services::db::{bounds::Bounds, failure::Failure};

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
