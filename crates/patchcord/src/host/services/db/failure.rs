//! Failures of calls.

use std::time::Duration;

/// Reason why a call has failed.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// Text for the script, without the address and the user of the database.
    pub(super) text: String,
    /// Text for the operator, if there is more to say.
    pub(super) detail: Option<String>,
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self { text, detail: None }
    }
}

impl Failure {
    /// Creates a failure whose details only the operator sees.
    pub(super) fn with_detail(text: &str, detail: &str) -> Self {
        Self {
            text: text.to_owned(),
            detail: Some(format!("{text}: {detail}")),
        }
    }

    /// Creates the failure of a call that has taken too long.
    pub(super) fn timeout(limit: Duration) -> Self {
        let limit = humantime::format_duration(limit);
        format!("the database has not answered within {limit}, the limit of `--db-timeout`").into()
    }

    /// Creates the failure of a call that found no free connection in time.
    pub(super) fn no_connection(limit: Duration) -> Self {
        let limit = humantime::format_duration(limit);
        format!(
            "no connection to the database became free within {limit}, the limit of `--db-timeout`: raise `--db-pool`, \
             or make the other statements faster"
        )
        .into()
    }

    /// Creates the failure of a statement that begins a transaction and does not end it.
    pub(super) fn open_transaction() -> Self {
        "the statement leaves a transaction open, which has been rolled back: use `db::transaction`"
            .to_owned()
            .into()
    }

    /// Names the statement of a transaction that has failed. The number begins with 1.
    pub(super) fn in_statement(self, number: usize) -> Self {
        let place = |text: String| format!("statement {number}: {text}");
        Self {
            text: place(self.text),
            detail: self.detail.map(place),
        }
    }
}
