//! Checks the scripts without serving them.

use std::collections::BTreeSet;

use super::{
    plan::no_connection_hook,
    routes::collisions,
    snapshot::{Changed, Snapshot, Texts},
};
use crate::{
    diagnostic::{self, Diagnostic, Place},
    host::scripting::Scripting,
    script::{Hook, Ignored, LoadError, Loader, Rejected, SourceFile, reset_comments},
};

/// Returns the errors and warnings of the scripts, in the order of files and lines.
///
/// # Errors
/// Returns [`LoadError`] if the loader cannot list the scripts.
pub(in crate::host) fn check(scripting: &Scripting) -> Result<Vec<Diagnostic>, LoadError> {
    let loader = &*scripting.loader;
    let snapshot = Snapshot::new(loader, &Changed::Everything, &mut Texts::default());
    let (mut read, mut found, mut imported) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
    let mut without_hook = Vec::new();
    let (entries, modules) = sort(loader, snapshot.list()?);
    for (_, name) in &entries {
        let files = match scripting.compile(&snapshot, name, 0, None) {
            Ok(version) => {
                found.extend_from_slice(version.warnings());
                found.extend(resets(version.files()));
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
    let ignored = snapshot.ignored();
    let is_ignored = |name: &String| ignored.iter().any(|one| one.name == *name);
    read.extend(modules.iter().filter(|name| is_ignored(name)).cloned());
    for name in modules.into_iter().filter(|name| !read.contains(name)) {
        found.extend(scripting.check_module(&snapshot, &name));
        found.extend(resets(&[SourceFile {
            text: snapshot.read(&name).ok().map(Into::into),
            name: name.into(),
        }]));
    }
    found.extend(ignored.into_iter().map(not_served));
    Ok(diagnostic::in_order(found))
}

/// Returns a warning for each comment `// @reset`, because it is for development: it makes all connected clients start
/// over.
fn resets(files: &[SourceFile]) -> Vec<Diagnostic> {
    let comments = reset_comments(files).into_iter();
    let warnings = comments.map(|(name, line, column)| {
        let source = files.iter().find(|file| file.name == name);
        let source = source.and_then(|file| file.text.clone());
        let place = Place::new(name, line, column);
        Diagnostic::warning("`// @reset` makes every connected client begin anew at each save")
            .at(Some(match source {
                Some(source) => place.source(source),
                None => place,
            }))
            .hint("without the comment, clients keep their variables, rooms and timers")
    });
    warnings.collect()
}

fn not_served(Ignored { name, reason, .. }: Ignored) -> Diagnostic {
    let problem = format!("`{name}` is not served: {reason}");
    Diagnostic::warning(problem).at(Place::new(name, 1, 1))
}

/// Separates the entry files, with their namespaces, from the files that can only be imported.
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
