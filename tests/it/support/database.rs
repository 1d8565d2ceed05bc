//! PostgreSQL server of the tests.

use std::{env, io::Write};

/// Returns the URL of the PostgreSQL server of `tests/run`. Reports that a test is left out, if there is none.
pub(crate) fn postgres() -> Option<String> {
    match env::var("PATCHCORD_TEST_POSTGRES") {
        Ok(url) if url.starts_with("postgres://") => Some(url),
        Ok(other) => panic!("`tests/run` could not start a PostgreSQL server: {other}"),
        Err(_) => {
            // Not by a macro, whose output is shown only for a test that fails.
            let test = std::thread::current();
            let test = test.name().unwrap_or_default().to_owned();
            let why = "PATCHCORD_TEST_POSTGRES is not set; `tests/postgres start DIR` starts a server, and `tests/run` \
                       does it by itself";
            let line = format!("left out: {test}: {why}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            None
        }
    }
}
