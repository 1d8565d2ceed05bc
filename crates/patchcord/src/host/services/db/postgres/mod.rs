//! PostgreSQL: a pool of connections to a server.
//!
//! In: statements. Out: their outcomes. A connection is opened when a call needs one and none is idle. It is kept only
//! after a call that has ended in order: after a timeout or a result that is too large, its statement is cancelled on
//! the server, and the connection is closed, because a late cancellation could reach the statement of the next call.

mod connection;
mod from_server;
mod tls;
mod to_server;
mod wire;

use std::sync::Arc;

use self::connection::{Connection, Server};
use super::{
    bounds::Bounds,
    failure::Failure,
    pool::Pool,
    statement::{Job, Outcome},
};
use crate::host::options::PostgresServer;
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout, timeout_at},
};

/// Database of a PostgreSQL server.
#[derive(Debug)]
pub(super) struct Postgres {
    server: Arc<Server>,
    pool: Pool<Connection>,
    bounds: Bounds,
}

impl Postgres {
    pub(super) fn new(server: PostgresServer, pool: usize, bounds: Bounds) -> Self {
        Self {
            server: Arc::new(Server::new(server)),
            pool: Pool::new(pool),
            bounds,
        }
    }

    /// Runs the statements.
    pub(super) async fn run(&self, job: &Job, deadline: Instant) -> Result<Vec<Outcome>, Failure> {
        let limit = self.bounds.timeout;
        let permit = self.pool.permit(deadline).await;
        let permit = permit.ok_or_else(|| Failure::no_connection(limit))?;
        let mut connection = match self.pool.take(Connection::is_open) {
            Some(connection) => connection,
            None => {
                let opened = Connection::open(&self.server, &self.bounds);
                let opened = timeout_at(deadline, opened).await;
                opened.map_err(|_| Failure::timeout(limit))??
            }
        };
        let run = timeout_at(deadline, connection.run(job, &self.bounds)).await;
        let outcomes = match run {
            Err(_) => Err(Failure::timeout(limit)),
            Ok(Err(failure)) => Err(failure),
            Ok(Ok(_)) if connection.is_in_transaction() => Err(Failure::open_transaction()),
            Ok(Ok(outcomes)) => Ok(outcomes),
        };
        match connection.is_at_rest() && connection.is_open() {
            true => self.pool.keep(connection),
            false => abandon(connection, permit, limit),
        }
        outcomes
    }
}

/// Ends what a connection is doing, and closes it. Another connection can be opened in its place once it is closed.
fn abandon(connection: Connection, permit: OwnedSemaphorePermit, limit: std::time::Duration) {
    tokio::spawn(async move {
        let _ = timeout(limit, connection.close()).await;
        drop(permit);
    });
}
