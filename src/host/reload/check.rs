//! Checks the scripts without serving them.

use std::collections::BTreeSet;

use super::{
    plan::no_connection_hook,
    routes::collisions,
    snapshot::{Changed, Snapshot, Texts},
};
use crate::{
    diagnostic::{self, Diagnostic},
    host::scripting::Scripting,
    script::{Hook, LoadError, Loader, Rejected},
};

/// Returns the problems of the scripts, in the order of files and lines.
///
/// # Errors
/// When the loader cannot list the scripts.
pub(in crate::host) fn check(scripting: &Scripting) -> Result<Vec<Diagnostic>, LoadError> {
    let loader = &*scripting.loader;
    let snapshot = Snapshot::of(loader, &Changed::Everything, &mut Texts::default());
    let (mut read, mut found, mut imported) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    let mut without_hook = Vec::new();
    let (entries, modules) = sort(loader, snapshot.list()?);
    for (_, name) in &entries {
        let files = match scripting.compile(&snapshot, name, 0) {
            Ok(version) => {
                found.extend_from_slice(version.warnings());
                if !version.has(Hook::Connection) {
                    without_hook.push(name.clone());
                }
                version.files().to_vec()
            }
            Err(Rejected {
                diagnostics, files, ..
            }) => {
                found.extend(diagnostics);
                files
            }
        };
        imported.extend(files.iter().skip(1).map(|file| file.name.to_string()));
        read.extend(files.into_iter().map(|file| file.name.to_string()));
    }
    without_hook.retain(|name| !imported.contains(name));
    found.extend(without_hook.iter().map(|name| no_connection_hook(name)));
    found.extend(collisions(&entries).into_iter().map(|c| c.problem));
    for name in modules.into_iter().filter(|name| !read.contains(name)) {
        found.extend(scripting.check_module(&snapshot, &name));
    }
    Ok(diagnostic::in_order(found))
}

/// Separates the entry files, with their namespaces, from the files that are for import.
fn sort(loader: &dyn Loader, names: Vec<String>) -> (Vec<(String, String)>, Vec<String>) {
    let (mut entries, mut modules) = (Vec::new(), Vec::new());
    for name in names {
        match loader.namespace(&name) {
            Some(path) => entries.push((path, name)),
            None if name.ends_with("_test.rhai") || name.ends_with(".d.rhai") => {}
            None => modules.push(name),
        }
    }
    (entries, modules)
}
