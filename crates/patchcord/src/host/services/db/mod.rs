//! `db`: databases.
//!
//! In: calls of scripts. Out: rows and counts, to the closures of the calls. A call waits for its database on a task of
//! its own, within the limits of the options. In tests of scripts, each database is one of SQLite in memory.

mod bounds;
mod databases;
mod docs;
mod failure;
mod functions;
mod pool;
mod postgres;
mod rows;
mod sqlite;
mod stand_ins;
mod statement;

pub(crate) use self::databases::Databases;
pub(super) use self::functions::register;
