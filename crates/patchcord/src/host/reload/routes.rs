//! Decides which file serves which namespace, and which files may not serve, because another file serves their
//! namespace.
//!
//! In: the files of the scripts with their namespaces, and the files that serve now. Out: [`RouteTable`]. Invariant: a
//! file that serves is never displaced by a file that was added later, in whatever order they are listed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{history::Scripts, snapshot::Snapshot};
use crate::{
    connection::{NamespacePattern, Serving},
    diagnostic::{Diagnostic, Place},
    script::{LoadError, Loader},
};

/// Files that define namespaces, and the collisions between them.
pub(super) struct RouteTable {
    /// Paths of the namespaces, with the names of their files.
    pub(super) files: Vec<(String, String)>,
    collisions: HashMap<String, Collision>,
}

/// Collision of a file with another file that serves the same namespace.
pub(super) struct Collision {
    /// Name of the file that may not serve.
    pub(super) name: String,
    /// Name of the file that serves, or that comes first.
    other: String,
    /// `true` if the paths of both files are equal, and do not only have the same shape.
    is_same_path: bool,
    pub(super) problem: Diagnostic,
}

/// Claim of a file to serve its namespace.
pub(super) enum Claim<'a> {
    Available,
    /// The file that serves the namespace is missing. It may reappear within the grace period, and is retired
    /// otherwise.
    Pending,
    /// Another file serves the namespace, under a different path of the same shape.
    Conflict(&'a Diagnostic),
    /// Another file serves the namespace, under the same path, and is tried in place of this one.
    Shadowed(&'a Diagnostic),
}

/// Returns the paths of the namespaces that the files define, with the names of their entry files, sorted.
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
    /// Creates the table of `files`, which may define a namespace more than once, and finds their collisions.
    pub(super) fn new(scripts: &Scripts, files: Vec<(String, String)>) -> Self {
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

    /// Returns the names of the files that may not serve.
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

/// Returns the collisions of files with files before them that serve the same namespace, such as `room/{name}.rhai`
/// with `room/{id}.rhai`.
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
