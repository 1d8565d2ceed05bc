//! Databases that scripts may use.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use rhai::{Dynamic, Map};
use tokio::{sync::Semaphore, time::Instant};
use tokio_util::task::TaskTracker;

use super::{
    bounds::Bounds,
    failure::Failure,
    postgres::Postgres,
    sqlite::Sqlite,
    stand_ins::StandIns,
    statement::{Job, Outcome},
};
use crate::host::{
    functions::async_fn::AsyncContext,
    options::{Location, Options, PostgresServer},
};

/// Maximum number of calls that wait for one database.
const MAX_WAITING: usize = 1_000;

/// Databases that scripts may use.
#[derive(Debug)]
pub(crate) struct Databases {
    allowed: Vec<String>,
    databases: HashMap<String, Arc<Database>>,
    /// Databases of a test, in place of the others.
    in_test: Option<InTest>,
    /// Tracker of the calls that run.
    calls: TaskTracker,
}

#[derive(Debug)]
struct InTest {
    bounds: Bounds,
    databases: Mutex<HashMap<String, Arc<Database>>>,
    stand_ins: Arc<StandIns>,
}

/// One database.
#[derive(Debug)]
pub(super) struct Database {
    name: String,
    backend: Backend,
    bounds: Bounds,
    /// Permits of the calls that wait for the database, or run in it.
    waiting: Semaphore,
}

#[derive(Debug)]
enum Backend {
    Sqlite(Arc<Sqlite>),
    Postgres(Postgres),
}

impl Database {
    fn new(name: &str, backend: Backend, bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            name: name.to_owned(),
            backend,
            bounds,
            waiting: Semaphore::new(MAX_WAITING),
        })
    }

    /// Runs the statements, and returns their outcomes.
    async fn run(&self, job: Job) -> Result<Vec<Dynamic>, Failure> {
        let Ok(_waits) = self.waiting.try_acquire() else {
            let problem =
                format!("{MAX_WAITING} calls wait for the database already, which is the limit");
            return Err(problem.into());
        };
        let deadline = Instant::now() + self.bounds.timeout;
        let outcomes = match &self.backend {
            Backend::Sqlite(sqlite) => sqlite.run(Arc::new(job), deadline).await,
            Backend::Postgres(postgres) => postgres.run(&job, deadline).await,
        };
        let values = outcomes?.into_iter().map(Outcome::into_value);
        Ok(values.collect())
    }
}

impl Databases {
    pub(in crate::host::services) fn new(options: &Options, in_test: bool) -> Self {
        let given = &options.databases;
        let bounds = Bounds {
            timeout: given.timeout,
            max_rows: given.max_rows,
            max_bytes: given.max_bytes,
        };
        let mut databases = HashMap::new();
        for url in given.urls.iter().filter(|_| !in_test) {
            // URLs that cannot be used have been reported: see `Options::validate`.
            let Ok(place) = url.location() else { continue };
            let backend = match place {
                Location::Memory => {
                    Backend::Sqlite(Arc::new(Sqlite::new(None, given.pool, bounds.clone())))
                }
                Location::File(file) => Backend::Sqlite(Arc::new(Sqlite::new(
                    Some(file),
                    given.pool,
                    bounds.clone(),
                ))),
                Location::Postgres(url) => match PostgresServer::new(&url) {
                    Ok(server) => {
                        Backend::Postgres(Postgres::new(server, given.pool, bounds.clone()))
                    }
                    Err(_) => continue,
                },
            };
            let database = Database::new(url.name(), backend, bounds.clone());
            databases.insert(url.name().to_owned(), database);
        }
        let calls = TaskTracker::new();
        // `TaskTracker::wait` returns only for a closed tracker. A closed tracker still accepts tasks.
        calls.close();
        Self {
            allowed: options.permissions.allow_db.clone(),
            databases,
            in_test: in_test.then(|| InTest {
                bounds,
                databases: Mutex::default(),
                stand_ins: Arc::default(),
            }),
            calls,
        }
    }

    /// Waits until no call runs.
    pub(crate) async fn idle(&self) {
        self.calls.wait().await;
    }

    /// Sets the answer of statements that contain a text, for a test.
    pub(crate) fn stand_in(&self, part: &str, answer: Dynamic) {
        if let Some(in_test) = &self.in_test {
            in_test.stand_ins.set(part, answer);
        }
    }

    /// Returns the statements of a test since the last call.
    pub(crate) fn take_calls(&self) -> Vec<Map> {
        let calls = self
            .in_test
            .as_ref()
            .map(|in_test| in_test.stand_ins.take_calls());
        calls.unwrap_or_default()
    }

    pub(super) fn allows(&self, name: &str) -> bool {
        self.in_test.is_some() || self.allowed.iter().any(|allowed| allowed == name)
    }

    /// Returns the database with a name, if scripts may use it.
    pub(super) fn get(&self, name: &str) -> Result<Arc<Database>, String> {
        if let Some(in_test) = &self.in_test {
            let mut databases = in_test.databases.lock();
            let database = databases.entry(name.to_owned()).or_insert_with(|| {
                let bounds = &in_test.bounds;
                let sqlite = Sqlite::in_test(in_test.stand_ins.clone(), bounds.clone());
                Database::new(name, Backend::Sqlite(Arc::new(sqlite)), bounds.clone())
            });
            return Ok(database.clone());
        }
        if !self.allows(name) {
            return Err(format!(
                "scripts may not use the database `{name}`: allow it with `--allow-db {name}`"
            ));
        }
        let database = self.databases.get(name).cloned();
        database.ok_or_else(|| {
            format!("there is no database `{name}`: declare it with `--db {name}=URL`")
        })
    }

    /// Runs the statements of a script in a database.
    pub(super) async fn run(
        &self,
        context: &AsyncContext,
        service: &'static str,
        name: &str,
        job: Result<Job, Failure>,
    ) -> Result<Vec<Dynamic>, String> {
        let _runs = self.calls.token();
        let result = async {
            let job = job?;
            let database = self.get(name)?;
            if let Some(in_test) = &self.in_test {
                for statement in &job.statements {
                    in_test.stand_ins.record(&database.name, statement);
                }
            }
            database.run(job).await
        };
        let result = result.await;
        let text = result
            .as_ref()
            .err()
            .map(|failure: &Failure| failure.text.clone());
        let detailed = result.map_err(|failure| failure.detail.unwrap_or(failure.text));
        let served = context.served(service, name, detailed);
        served.map_err(|error| text.unwrap_or(error))
    }
}
