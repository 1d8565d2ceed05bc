//! Lists versions, and compares them.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt::Write,
    sync::Arc,
    time::Duration,
};

use serde::Serialize;
use similar::TextDiff;

use super::{
    Reloader,
    history::{Script, Served},
    record::{Outcome, Record},
};

/// Maximum time for the comparison of two texts. After that, the result is still correct, but longer than necessary.
const MAX_COMPARING: Duration = Duration::from_millis(500);

/// Attempt to make a version of a script serve, with its current state. Returned by
/// [`Host::versions`](crate::Host::versions).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct VersionInfo {
    /// Path of the namespace.
    pub namespace: Arc<str>,
    /// Name of its script.
    pub script: Arc<str>,
    /// Record of the attempt.
    #[serde(flatten)]
    pub record: Record,
    /// `true` if the version has served since this attempt, and serves now.
    pub serves: bool,
    /// Number of live connections that have this version now. A connection may have the previous version until it
    /// adopts the one that serves.
    pub connections: usize,
}

/// Reason why two versions cannot be compared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiffError {
    /// The namespace has never had a script.
    #[error("no script has served `{0}`")]
    NotServed(String),
    /// The version has never served, or the host has forgotten it.
    #[error("there is no version {version} of `{namespace}`; kept: {kept}")]
    NoVersion {
        /// Path of the namespace.
        namespace: String,
        /// Number of the version.
        version: u64,
        /// Numbers of the versions that the host keeps, such as `1, 2`.
        kept: String,
    },
}

impl Reloader {
    /// Returns the records of all namespaces, the latest one last.
    pub(in crate::host) async fn versions(&self) -> Vec<VersionInfo> {
        let scripts = self.scripts.lock().await;
        let all = scripts.by_namespace.iter();
        let staged = scripts.staged.as_ref();
        let infos = |(path, script): (&String, &Script)| {
            infos(path, script, staged.and_then(|staged| staged.record(path)))
        };
        let mut all: Vec<_> = all.flat_map(infos).collect();
        all.sort_by_key(|info| info.record.time);
        all
    }

    /// Returns the differences between the texts of two versions of a namespace, or why they cannot be compared.
    pub(in crate::host) async fn diff(
        &self,
        namespace: &str,
        a: u64,
        b: u64,
    ) -> Result<String, DiffError> {
        let (a, b) = {
            let scripts = self.scripts.lock().await;
            let script = scripts.by_namespace.get(namespace);
            let script = script.filter(|script| !script.history.is_empty());
            let script = script.ok_or_else(|| DiffError::NotServed(namespace.to_owned()))?;
            let find = |number| {
                let staged = scripts.staged.as_ref();
                let staged = staged.and_then(|staged| staged.version(namespace));
                match staged.filter(|version| version.number() == number) {
                    Some(version) => Ok(Served::staged(version)),
                    None => find(script, namespace, number),
                }
            };
            (find(a)?, find(b)?)
        };
        Ok(diff(&a, &b))
    }
}

fn infos(path: &str, script: &Script, staged: Option<Record>) -> Vec<VersionInfo> {
    let mut connections = HashMap::<u64, usize>::new();
    for connection in script.namespace.iter().flat_map(|one| one.connections()) {
        if let Some(version) = connection.version() {
            *connections.entry(version.number()).or_default() += 1;
        }
    }
    let serving = script.serves().map(|version| version.number());
    let mut infos: Vec<_> = script
        .history
        .iter()
        .cloned()
        .chain(staged)
        .map(|record| VersionInfo {
            namespace: path.into(),
            script: script.entry.as_str().into(),
            record,
            serves: false,
            connections: 0,
        })
        .collect();
    // A version has served since its last attempt that was not rejected.
    for info in infos.iter_mut().rev() {
        if info.record.outcome != Outcome::Rejected {
            info.connections = connections.remove(&info.record.number).unwrap_or_default();
        }
    }
    let served = infos
        .iter_mut()
        .rfind(|info| !matches!(info.record.outcome, Outcome::Rejected | Outcome::Staged));
    if let Some(info) = served {
        info.serves = serving == Some(info.record.number);
    }
    infos
}

fn find(script: &Script, namespace: &str, version: u64) -> Result<Served, DiffError> {
    script.numbered(version).cloned().ok_or_else(|| {
        let kept = script.versions.iter().map(|one| one.number.to_string());
        DiffError::NoVersion {
            namespace: namespace.to_owned(),
            version,
            kept: kept.collect::<Vec<_>>().join(", "),
        }
    })
}

/// Returns the differences between two versions in the unified format, file by file.
fn diff(a: &Served, b: &Served) -> String {
    let (old, new) = (texts(a), texts(b));
    let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    let mut all = String::new();
    for name in names {
        let header = |of: &Served, texts: &BTreeMap<&str, &str>| match texts.contains_key(name) {
            true => format!("{name} (version {})", of.number),
            false => "/dev/null".to_owned(),
        };
        let (before, after) = (header(a, &old), header(b, &new));
        let text =
            |texts: &BTreeMap<&str, &str>| texts.get(name).copied().unwrap_or_default().to_owned();
        let (old, new) = (text(&old), text(&new));
        let compared = TextDiff::configure()
            .timeout(MAX_COMPARING)
            .diff_lines(&*old, &*new);
        // Writing to a string cannot fail.
        let _ = write!(all, "{}", compared.unified_diff().header(&before, &after));
    }
    all
}

fn texts(served: &Served) -> BTreeMap<&str, &str> {
    let files = served.files.iter();
    files
        .filter_map(|file| Some((&*file.name, file.text.as_deref()?)))
        .collect()
}
