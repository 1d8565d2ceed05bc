//! Decides which file serves which namespace, and which files may not, because another one serves it.
//!
//! In: the files of the scripts with their namespaces, and what serves now. Out: [`RouteTable`]. A file that serves is
//! never rejected in favour of a file that comes later, whatever their order.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{history::Scripts, snapshot::Snapshot};
use crate::{
    connection::{NamespacePattern, Serving},
    diagnostic::{Diagnostic, Place},
    script::{LoadError, Loader},
};

/// Files that serve namespaces, or would serve them.
pub(super) struct RouteTable {
    /// Path of the namespace, and name of the file.
    pub(super) files: Vec<(String, String)>,
    collisions: HashMap<String, Collision>,
}

/// Reason for which a file does not serve its namespace.
pub(super) struct Collision {
    /// File that may not serve.
    pub(super) name: String,
    /// File that serves, or that comes first.
    other: String,
    /// Both files have exactly the same path, and not only the same shape.
    is_same_path: bool,
    pub(super) problem: Diagnostic,
}

/// Claim of a file to its namespace.
pub(super) enum Claim<'a> {
    Available,
    /// The file that serves the namespace is missing. It may reappear within the grace period, and is retired
    /// otherwise.
    Pending,
    /// Another file serves the namespace, under a path of its own with the same shape.
    Conflict(&'a Diagnostic),
    /// Another file serves the namespace, under the same path, and takes the place of this one.
    Shadowed(&'a Diagnostic),
}

/// Returns the namespaces that the files define, with their entry files, in order.
pub(super) fn listed(snapshot: &Snapshot<'_>) -> Result<Vec<(String, String)>, LoadError> {
    let names = snapshot.list()?;
    let mut entries: Vec<_> = names
        .into_iter()
        .filter_map(|name| Some((snapshot.namespace(&name)?, name)))
        .collect();
    entries.sort();
    Ok(entries)
}

impl RouteTable {
    /// Finds the collisions of `files`, which may name a namespace more than once.
    pub(super) fn of(scripts: &Scripts, files: Vec<(String, String)>) -> Self {
        let paths: BTreeSet<_> = files.iter().map(|(path, _)| path).collect();
        let known: BTreeSet<_> = files.iter().collect();
        let serve = scripts.by_namespace.iter().filter(|(_, script)| {
            let namespace = script.namespace.as_ref();
            namespace.is_some_and(|n| matches!(n.serving(), Serving::Version(_)))
        });
        let serve = serve.map(|(path, script)| (path.clone(), script.entry.clone()));
        let mut order: Vec<_> = serve
            .filter(|file| known.contains(file) || !paths.contains(&file.0))
            .collect();
        order.extend(files.iter().cloned());
        let mut seen = BTreeSet::new();
        order.retain(|(_, name)| seen.insert(name.clone()));
        let collisions = collisions(&order).into_iter();
        Self {
            collisions: collisions.map(|c| (c.name.clone(), c)).collect(),
            files,
        }
    }

    /// Returns the files that may not serve.
    pub(super) fn colliding(&self) -> BTreeSet<String> {
        self.collisions.keys().cloned().collect()
    }

    pub(super) fn claim(&self, name: &str) -> Claim<'_> {
        let Some(collision) = self.collisions.get(name) else {
            return Claim::Available;
        };
        let other = &collision.other;
        match self.files.iter().any(|(_, name)| name == other) {
            false => Claim::Pending,
            true if collision.is_same_path => Claim::Shadowed(&collision.problem),
            true => Claim::Conflict(&collision.problem),
        }
    }
}

/// Finds the files that serve the same namespace as one before them: `room/{id}.rhai` and `room/{name}.rhai`.
pub(super) fn collisions(entries: &[(String, String)]) -> Vec<Collision> {
    let mut first: BTreeMap<_, (&String, &String)> = BTreeMap::new();
    let mut found = Vec::new();
    for (path, name) in entries {
        let shape = NamespacePattern::new(path).shape().to_owned();
        match first.get(&shape) {
            Some((same, other)) => {
                let problem = Diagnostic::error(format!(
                    "`{name}` serves the same namespace as `{other}`: `{path}`"
                ))
                .at(Place::new(name.as_str(), 1, 1))
                .hint("a namespace is served by one file");
                found.push(Collision {
                    name: name.clone(),
                    other: (*other).clone(),
                    is_same_path: *same == path,
                    problem,
                });
            }
            None => {
                first.insert(shape, (path, name));
            }
        }
    }
    found
}
