//! One connection to a PostgreSQL server.

use std::{collections::VecDeque, fmt, pin::pin, sync::Arc, time::Duration};

use rhai::{Dynamic, ImmutableString};
use tokio::task::JoinHandle;
use tokio_postgres::{
    Client, Config, Error, NoTls, RowStream, Statement as Prepared,
    config::Host,
    error::{Severity, SqlState},
};

use super::{
    from_server::{self, Raw},
    tls::Tls,
    to_server,
    wire::{OUTSIDE_TRANSACTION, Seen, Wire},
};
use crate::host::{
    options::PostgresServer,
    services::db::{
        bounds::Bounds,
        failure::Failure,
        rows::{self, Room},
        statement::{Job, Outcome, Statement, Wanted},
    },
};

/// Maximum number of prepared statements that a connection keeps.
const MAX_PREPARED: usize = 100;
/// Size in bytes by which a message may exceed the maximum size of a result: a description of columns, or an error.
const OVERHEAD: usize = 1 << 20;
/// Default port of a server.
const PORT: u16 = 5432;
/// Time by which the server's own limits exceed that of a call. They end what a host has left behind.
const LEEWAY: Duration = Duration::from_secs(5);
/// Place in the server of the error that the schema has changed under a prepared statement. Messages may be translated.
const STALE: &str = "RevalidateCachedQuery";
/// Place in the server of the error that a text contains several statements.
const SEVERAL: &str = "exec_parse_message";

/// Server, or several with the same data.
#[derive(Debug)]
pub(super) struct Server {
    config: Config,
    tls: Tls,
}

impl Server {
    pub(super) fn new(server: PostgresServer) -> Self {
        let mut config = server.config;
        if config.get_application_name().is_none() {
            config.application_name("patchcord");
        }
        Self {
            config,
            tls: Tls::new(server.encryption),
        }
    }
}

/// Connection to a server.
pub(super) struct Connection {
    client: Client,
    /// Task that reads and writes.
    driver: JoinHandle<()>,
    seen: Arc<Seen>,
    server: Arc<Server>,
    /// Host of the server, and its port.
    place: (Host, u16),
    /// Statements that the server has prepared, the last used ones at the end.
    prepared: VecDeque<(ImmutableString, Prepared)>,
    /// `true` while a statement runs whose end the host has not seen.
    is_running: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").finish_non_exhaustive()
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // What runs would keep the task alive until its end.
        if self.is_running {
            self.driver.abort();
        }
    }
}

/// Error of a statement.
enum Problem {
    /// The connection can no longer be used.
    Broken(Failure),
    /// The server, or a check before the statement was sent, has refused the statement.
    Refused(Failure),
    /// The prepared statement does not fit the schema any more.
    Stale(Failure),
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        Self::Refused(failure)
    }
}

impl Connection {
    /// Opens a connection to the first host that accepts one.
    pub(super) async fn open(server: &Arc<Server>, bounds: &Bounds) -> Result<Self, Failure> {
        let maximum = bounds.max_bytes.saturating_add(OVERHEAD);
        let mut ports = server.config.get_ports().iter().copied().cycle();
        let mut failed = None;
        for host in server.config.get_hosts() {
            let port = ports.next().unwrap_or(PORT);
            match Wire::connect(host, port, &server.tls, maximum).await {
                Err(failure) => failed = Some(failure),
                Ok(opened) => {
                    return Self::log_in(server, (host.clone(), port), opened, bounds).await;
                }
            }
        }
        Err(failed.unwrap_or_else(|| "the URL of the database names no host".to_owned().into()))
    }

    async fn log_in(
        server: &Arc<Server>,
        place: (Host, u16),
        (wire, seen): (Wire, Arc<Seen>),
        bounds: &Bounds,
    ) -> Result<Self, Failure> {
        // What needs encryption is encrypted already.
        let opened = server.config.connect_raw(wire, NoTls).await;
        let refused = |error: &Error| {
            let code = error
                .code()
                .map(|code| format!(" (SQLSTATE {})", code.code()));
            let reason = format!(
                "the database refuses the connection{}",
                code.unwrap_or_default()
            );
            Failure::with_detail(&reason, &described(error))
        };
        let (client, driver) = opened.map_err(|error| refused(&error))?;
        let driver = tokio::spawn(async move {
            // The client of the connection reports the error.
            let _ = driver.await;
        });
        let connection = Self {
            client,
            driver,
            seen,
            server: server.clone(),
            place,
            prepared: VecDeque::new(),
            is_running: false,
        };
        let limit = bounds.timeout.saturating_add(LEEWAY).as_millis();
        let settings = format!(
            "set statement_timeout = {limit}; set idle_in_transaction_session_timeout = {limit}"
        );
        let set = connection.client.batch_execute(&settings).await;
        set.map_err(|error| refused(&error))?;
        Ok(connection)
    }

    /// Returns `true` unless the server has closed the connection.
    pub(super) fn is_open(&self) -> bool {
        !self.client.is_closed()
    }

    /// Returns `true` if no statement runs, and no transaction is open.
    pub(super) fn is_at_rest(&self) -> bool {
        !self.is_running && !self.is_in_transaction()
    }

    /// Returns `true` if a transaction is open.
    pub(super) fn is_in_transaction(&self) -> bool {
        self.seen.status() != OUTSIDE_TRANSACTION
    }

    /// Cancels what runs, and closes the connection.
    pub(super) async fn close(self) {
        if !self.is_running || !self.is_open() {
            // The task that reads and writes takes leave of the server once nothing refers to it any more.
            return;
        }
        let (host, port) = &self.place;
        if let Ok((wire, _)) = Wire::connect(host, *port, &self.server.tls, OVERHEAD).await {
            let token = self.client.cancel_token();
            let _ = token.cancel_query_raw(wire, NoTls).await;
        }
    }

    /// Runs the statements.
    pub(super) async fn run(
        &mut self,
        job: &Job,
        bounds: &Bounds,
    ) -> Result<Vec<Outcome>, Failure> {
        self.is_running = true;
        let result = self.statements(job, bounds).await;
        match result {
            Ok(outcomes) => {
                self.is_running = false;
                Ok(outcomes)
            }
            Err(Problem::Refused(failure) | Problem::Stale(failure)) => {
                let ended = match job.in_transaction && self.is_in_transaction() {
                    true => self.client.batch_execute("rollback").await.is_ok(),
                    false => true,
                };
                self.is_running = !ended;
                Err(failure)
            }
            Err(Problem::Broken(_)) if self.seen.is_too_large() => Err(bounds.too_large()),
            Err(Problem::Broken(failure)) => Err(failure),
        }
    }

    async fn statements(&mut self, job: &Job, bounds: &Bounds) -> Result<Vec<Outcome>, Problem> {
        if job.in_transaction {
            let begun = self.client.batch_execute("begin").await;
            begun.map_err(|error| problem(&error))?;
        }
        let mut room = Room::new(bounds);
        let mut outcomes = Vec::new();
        for (statement, number) in job.statements.iter().zip(1..) {
            let locate = |problem| match problem {
                Problem::Broken(failure) => Problem::Broken(job.locate(number, failure)),
                Problem::Refused(failure) => Problem::Refused(job.locate(number, failure)),
                Problem::Stale(failure) => Problem::Stale(job.locate(number, failure)),
            };
            let outcome = match self.one(statement, &mut room).await {
                // The statement has not run. In a transaction, everything has failed with it.
                Err(Problem::Stale(_)) if !job.in_transaction => {
                    self.one(statement, &mut room).await
                }
                outcome => outcome,
            };
            let outcome = outcome.map_err(locate)?;
            statement
                .check(&outcome)
                .map_err(|failure| locate(failure.into()))?;
            if job.in_transaction && !self.is_in_transaction() {
                let failure = Failure::from("the statement has ended the transaction".to_owned());
                return Err(locate(failure.into()));
            }
            outcomes.push(outcome);
        }
        if job.in_transaction {
            let committed = self.client.batch_execute("commit").await;
            committed.map_err(|error| problem(&error))?;
        }
        Ok(outcomes)
    }

    async fn one(
        &mut self,
        statement: &Statement,
        room: &mut Room<'_>,
    ) -> Result<Outcome, Problem> {
        let prepared = self.prepare(&statement.sql).await?;
        statement.check_parameters(prepared.params().len())?;
        let columns = rows::columns(prepared.columns().iter().map(|column| column.name()))?;
        let types = prepared.params().iter();
        let given = statement.parameters.iter().zip(types).zip(1..);
        let given = given.map(|((parameter, of), number)| to_server::encode(number, parameter, of));
        let given = given.collect::<Result<Vec<_>, _>>()?;
        let found = match self.client.query_raw(&prepared, given).await {
            Ok(found) => found,
            Err(error) => {
                let problem = problem(&error);
                if matches!(problem, Problem::Stale(_)) {
                    self.prepared.retain(|(sql, _)| *sql != statement.sql);
                }
                return Err(problem);
            }
        };
        let is_wanted = match statement.wanted {
            Wanted::Rows => true,
            Wanted::Count => false,
            Wanted::Either => !columns.is_empty(),
        };
        let mut found = pin!(found);
        let mut list = Vec::new();
        while let Some(row) = next(found.as_mut()).await {
            let row = row.map_err(|error| problem(&error))?;
            if !is_wanted {
                continue;
            }
            // What follows is not read: the statement is cancelled.
            room.row().map_err(Problem::Broken)?;
            let row = rows::row(&columns, |index, name| {
                let Raw(bytes) = row.try_get(index).map_err(|error| described(&error))?;
                room.value(name, bytes.map_or(0, <[u8]>::len))?;
                let of = prepared
                    .columns()
                    .get(index)
                    .map(tokio_postgres::Column::type_);
                match bytes.zip(of) {
                    None => Ok(Dynamic::UNIT),
                    Some((bytes, of)) => from_server::decode(name, of, bytes),
                }
            });
            list.push(row.map_err(Problem::Broken)?);
        }
        Ok(match is_wanted {
            true => Outcome::Rows(list),
            false => Outcome::Count(found.rows_affected().unwrap_or_default()),
        })
    }

    /// Returns a prepared statement.
    async fn prepare(&mut self, sql: &ImmutableString) -> Result<Prepared, Problem> {
        let known = self.prepared.iter().position(|(text, _)| text == sql);
        if let Some(entry) = known.and_then(|index| self.prepared.remove(index)) {
            let prepared = entry.1.clone();
            self.prepared.push_back(entry);
            return Ok(prepared);
        }
        if sql.contains('\0') {
            return Err(
                Failure::from("a statement cannot contain the character `\\0`".to_owned()).into(),
            );
        }
        let prepared = self
            .client
            .prepare(sql)
            .await
            .map_err(|error| problem(&error))?;
        self.prepared.push_back((sql.clone(), prepared.clone()));
        if self.prepared.len() > MAX_PREPARED {
            self.prepared.pop_front();
        }
        Ok(prepared)
    }
}

/// Returns the next row.
async fn next(
    mut rows: std::pin::Pin<&mut RowStream>,
) -> Option<Result<tokio_postgres::Row, Error>> {
    use futures_core::Stream;

    std::future::poll_fn(|cx| rows.as_mut().poll_next(cx)).await
}

/// Describes an error, with its causes.
fn described(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text += &format!(": {error}");
        cause = error.source();
    }
    text
}

/// Returns the problem of an error.
fn problem(error: &Error) -> Problem {
    let Some(of_server) = error.as_db_error() else {
        let lost = "the connection to the database is lost";
        return Problem::Broken(Failure::with_detail(lost, &described(error)));
    };
    let state = of_server.code();
    let message = of_server.message();
    let several = *state == SqlState::SYNTAX_ERROR && of_server.routine() == Some(SEVERAL);
    let text = match several {
        true => "one call runs one statement: use `db::transaction` for several".to_owned(),
        false => format!("{message} (SQLSTATE {})", state.code()),
    };
    let detail = of_server.detail().map(|detail| format!("{text}: {detail}"));
    let failure = Failure { text, detail };
    if *state == SqlState::FEATURE_NOT_SUPPORTED && of_server.routine() == Some(STALE) {
        return Problem::Stale(failure);
    }
    match of_server.parsed_severity() {
        Some(Severity::Error) => Problem::Refused(failure),
        _ => Problem::Broken(failure),
    }
}
