//! The version before, back again: when the program asks for it, or by itself when handlers fail.

use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use super::{
    Host, Inner, Record,
    dispatch::HandedOver,
    reload::{Attempt, Cause},
};
use crate::{
    connection::{Connection, RollBackReason},
    diagnostic::Diagnostic,
    script::Version,
};

/// A version is rolled back by itself when it fails on so many connections,
const MIN_CONNECTIONS: usize = 5;
/// which are at least one in so many of its namespace,
const ONE_IN: usize = 20;
/// within this time.
const WITHIN: Duration = Duration::from_secs(30);
/// So many places of errors are told apart; further ones count for no version.
const MAX_PLACES: usize = 256;

/// Why a version could not be rolled back.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RollBackError {
    /// No script serves the namespace.
    #[error("no script serves `{0}`")]
    NotServed(String),
    /// The version that serves is the first one, or those before it are forgotten.
    #[error("there is no version before the one that serves `{0}`")]
    NoPrevious(String),
    /// `on_connection` of the version before fails on a live connection.
    #[error("the version before fails on a connection of `{namespace}`")]
    Rejected {
        /// The namespace.
        namespace: String,
        /// Why, and on which.
        diagnostics: Vec<Diagnostic>,
    },
}

impl Host {
    /// Puts the version of a namespace back that served before, on live connections too, and gives its number. They are
    /// re-bound as by an edit: all of them, or none. Called again it goes one version further back; at most eight are
    /// kept. What was rolled back is not tried again before its files change.
    ///
    /// # Errors
    /// When there is no such version, or it fails on a live connection; nothing has changed then.
    ///
    /// ```no_run
    /// # async fn undo(host: patchcord::Host) -> Result<(), Box<dyn std::error::Error>> {
    /// let version = host.roll_back("/chat").await?;
    /// println!("version {version} serves again");
    /// # Ok(())
    /// # }
    /// ```
    pub async fn roll_back(&self, namespace: &str) -> Result<u64, RollBackError> {
        let roll_back = RollBack {
            namespace: namespace.to_owned(),
            only: None,
            reason: RollBackReason::Asked,
        };
        self.inner.clone().roll_back(roll_back).await
    }

    /// The last attempts to have versions serve a namespace, the latest at the end; at most 32. Empty for a namespace
    /// that no script ever had.
    pub async fn history(&self, namespace: &str) -> Vec<Record> {
        let scripts = self.inner.scripts.lock().await;
        let script = scripts.by_namespace.get(namespace);
        script.map_or_else(Vec::new, |script| script.history.iter().cloned().collect())
    }
}

/// What is to be rolled back.
struct RollBack {
    namespace: String,
    /// This version, if it still serves.
    only: Option<Arc<Version>>,
    reason: RollBackReason,
}

impl Inner {
    async fn roll_back(self: Arc<Self>, what: RollBack) -> Result<u64, RollBackError> {
        let mut scripts = self.scripts.clone().lock_owned().await;
        let gate = self.gate.clone().write_owned().await;
        let RollBack {
            namespace,
            only,
            reason,
        } = what;
        let script = scripts.by_namespace.get(&namespace);
        let serves = script.and_then(|script| script.serves());
        let (Some(script), Some(serves)) = (script, serves) else {
            return Err(RollBackError::NotServed(namespace));
        };
        let outdated = only.is_some_and(|only| !Arc::ptr_eq(&only, &serves));
        let Some(version) = script.previous.back().filter(|_| !outdated).cloned() else {
            return Err(RollBackError::NoPrevious(namespace));
        };
        let number = version.number();
        let attempt = Attempt {
            path: namespace.clone(),
            result: Ok(version),
        };
        let settled = tokio::task::spawn_blocking(move || {
            let cause = Cause::RollBack(reason);
            let settled = self.settle(&mut scripts, vec![attempt], &cause, Instant::now());
            drop(gate);
            settled
        });
        match settled.await {
            Ok(Ok(())) => Ok(number),
            Ok(Err(diagnostics)) => Err(RollBackError::Rejected {
                namespace,
                diagnostics,
            }),
            Err(panic) => Err(RollBackError::Rejected {
                namespace,
                diagnostics: vec![Diagnostic::error(format!("it ended early: {panic}"))],
            }),
        }
    }

    /// Counts a failed call of the version that serves, and rolls it back if that was one too many.
    pub(super) fn count_failure(
        &self,
        connection: &Connection,
        version: &Arc<Version>,
        diagnostic: &Diagnostic,
    ) {
        if !self.options.rollback_on_errors || !connection.namespace().serves(version) {
            return;
        }
        let failed = {
            let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
            let failures = failures.entry(version.entry().clone()).or_default();
            failures.add(version.number(), Fault::of(diagnostic), connection.id())
        };
        if failed < MIN_CONNECTIONS {
            return;
        }
        let serving = self.all();
        let serving = serving.iter().filter(|n| n.serves(version));
        if failed * ONE_IN >= serving.map(|n| n.len()).sum() {
            self.undo(version, failed);
        }
    }

    /// Rolls a version back that fails.
    fn undo(&self, version: &Arc<Version>, connections: usize) {
        let namespaces = self.lock_namespaces().clone();
        let namespace = namespaces.iter().find(|n| n.serves(version));
        let (Some(namespace), Some(host)) = (namespace, self.me.upgrade()) else {
            return;
        };
        self.failures
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(version.entry().clone())
            .or_default()
            .sockets
            .clear();
        let what = RollBack {
            namespace: namespace.path().to_string(),
            only: Some(version.clone()),
            reason: RollBackReason::Errors { connections },
        };
        let handed_over = HandedOver::new(&self.handed_over);
        tokio::spawn(async move {
            // Whatever comes of it is announced.
            drop(host.roll_back(what).await);
            drop(handed_over);
        });
    }
}

/// Where calls of a script fail, and on which connections.
#[derive(Debug, Default)]
pub(super) struct Failures {
    version: u64,
    /// Where the version before failed.
    known: BTreeSet<Fault>,
    /// Where this one does, too.
    seen: BTreeSet<Fault>,
    /// The connections on which it failed elsewhere, and when it did last.
    sockets: HashMap<Arc<str>, Instant>,
}

impl Failures {
    /// Adds a failure of a version, and gives on how many connections it fails where the one before did not.
    fn add(&mut self, version: u64, fault: Fault, socket: &Arc<str>) -> usize {
        if self.version != version {
            *self = Self {
                version,
                known: std::mem::take(&mut self.seen),
                ..Self::default()
            };
        }
        let is_new = !self.known.contains(&fault);
        if self.seen.len() < MAX_PLACES {
            self.seen.insert(fault);
        } else if !self.seen.contains(&fault) {
            return 0;
        }
        if !is_new {
            return 0;
        }
        let now = Instant::now();
        self.sockets.insert(socket.clone(), now);
        self.sockets
            .retain(|_, last| now.duration_since(*last) <= WITHIN);
        self.sockets.len()
    }
}

/// The place of an error: the file and the text of the line, for its number changes with every edit above it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Fault {
    file: Arc<str>,
    line: String,
}

impl Fault {
    fn of(diagnostic: &Diagnostic) -> Self {
        let place = diagnostic.place.as_ref();
        let text = place.and_then(|place| place.source.as_ref()?.lines().nth(place.line - 1));
        Self {
            file: place.map_or_else(|| "".into(), |place| place.file.clone()),
            line: text.unwrap_or(&diagnostic.message).trim().to_owned(),
        }
    }
}
