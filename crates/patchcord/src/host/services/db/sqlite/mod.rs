//! SQLite: a file, or a database in memory.
//!
//! In: statements. Out: their outcomes. SQLite blocks its thread, so it runs on threads for blocking work, and never on
//! those of the runtime. One connection writes. In a file, further ones read at the same time, because the file is in
//! the WAL mode: a long query delays neither a write nor, while there are connections, another query.

mod connection;
mod failure;
mod open;
mod value;

use std::{path::PathBuf, sync::Arc, time::Duration};

use rusqlite::Connection;
use tokio::{
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

use self::{connection::Refused, open::Access};
use super::{
    bounds::Bounds,
    failure::Failure,
    pool::Pool,
    stand_ins::StandIns,
    statement::{Job, Outcome, Wanted},
};

/// Maximum number of connections that read.
const MAX_READERS: usize = 8;
/// Time after the deadline for SQLite to notice it.
const GRACE: Duration = Duration::from_secs(1);

/// Database of SQLite.
#[derive(Debug)]
pub(super) struct Sqlite {
    /// Path of the file; `None` for a database in memory.
    file: Option<PathBuf>,
    writer: Pool<Connection>,
    /// Connections that read; `None` in memory, where each connection would be a database of its own.
    readers: Option<Pool<Connection>>,
    bounds: Bounds,
    /// Answers that a test has set. In a test, statements run on its thread, so that nothing waits.
    stand_ins: Option<Arc<StandIns>>,
}

impl Sqlite {
    pub(super) fn new(file: Option<PathBuf>, pool: usize, bounds: Bounds) -> Self {
        let readers = pool.saturating_sub(1).min(MAX_READERS);
        let readers = Some(readers).filter(|readers| *readers > 0 && file.is_some());
        Self {
            file,
            writer: Pool::new(1),
            readers: readers.map(Pool::new),
            bounds,
            stand_ins: None,
        }
    }

    /// Creates the database of a test.
    pub(super) fn in_test(stand_ins: Arc<StandIns>, bounds: Bounds) -> Self {
        Self {
            stand_ins: Some(stand_ins),
            ..Self::new(None, 1, bounds)
        }
    }

    /// Runs the statements.
    pub(super) async fn run(
        self: &Arc<Self>,
        job: Arc<Job>,
        deadline: Instant,
    ) -> Result<Vec<Outcome>, Failure> {
        let reads = job.statements.iter().all(|one| one.wanted == Wanted::Rows);
        if reads && !job.in_transaction && self.readers.is_some() {
            match self.on_thread(Access::Read, job.clone(), deadline).await {
                Err(Refused::Write) => {}
                Err(Refused::Failed(failure)) => return Err(failure),
                Ok(outcomes) => return Ok(outcomes),
            }
        }
        let written = self.on_thread(Access::Write, job, deadline).await;
        written.map_err(|refused| match refused {
            Refused::Failed(failure) => failure,
            Refused::Write => "the database is read-only".to_owned().into(),
        })
    }

    async fn on_thread(
        self: &Arc<Self>,
        access: Access,
        job: Arc<Job>,
        deadline: Instant,
    ) -> Result<Vec<Outcome>, Refused> {
        let timeout = self.bounds.timeout;
        let permit = self.pool(access).permit(deadline).await;
        let permit = permit.ok_or_else(|| Failure::no_connection(timeout))?;
        let this = self.clone();
        // SQLite looks at the clock of the system, and a test may have stopped that of the runtime.
        let left = deadline.saturating_duration_since(Instant::now());
        let until = std::time::Instant::now() + left;
        if self.stand_ins.is_some() {
            return this.work(access, &job, until);
        }
        // The thread keeps the permit until it has finished, even if the call no longer waits for it.
        let work = spawn_blocking(move || {
            let outcomes = this.work(access, &job, until);
            drop(permit);
            outcomes
        });
        match timeout_at(deadline + GRACE, work).await {
            Ok(Ok(outcomes)) => outcomes,
            Ok(Err(_)) => Err(Failure::from("the call panicked".to_owned()).into()),
            Err(_) => Err(Failure::timeout(timeout).into()),
        }
    }

    /// Runs the statements on this thread.
    fn work(
        &self,
        access: Access,
        job: &Job,
        deadline: std::time::Instant,
    ) -> Result<Vec<Outcome>, Refused> {
        let pool = self.pool(access);
        let mut connection = match pool.take(|_| true) {
            Some(connection) => connection,
            None => open::open(self.file.as_deref(), access, &self.bounds)?,
        };
        let stand_ins = self.stand_ins.as_deref();
        let outcomes = connection::run(
            &mut connection,
            job,
            (access, deadline),
            &self.bounds,
            stand_ins,
        );
        // A connection whose transaction cannot be rolled back is closed, unless it holds a database in memory.
        if connection.is_autocommit() || self.file.is_none() {
            pool.keep(connection);
        }
        outcomes
    }

    fn pool(&self, access: Access) -> &Pool<Connection> {
        match (access, &self.readers) {
            (Access::Read, Some(readers)) => readers,
            _ => &self.writer,
        }
    }
}
