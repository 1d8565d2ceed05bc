//! What is wrong with the scripts, told without serving them.

use std::collections::BTreeSet;

use super::{Host, Inner, entries::collisions, reload::no_connection_hook, snapshot::Snapshot};
use crate::{
    api,
    diagnostic::{self, Diagnostic},
    script::{self, Hook, LoadError, Loader, Rejected, Version, Words},
};

impl Host {
    /// What is wrong with the scripts: what a load would refuse (errors), and what is probably not meant (warnings), in
    /// the order of files and lines. Every file is looked at, those included that no script imports. Nothing is served,
    /// and what serves is not touched.
    ///
    /// ```
    /// use patchcord::{Host, script::Memory};
    ///
    /// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { socket.emti(\"hello\"); }")]);
    /// let problems = Host::builder().loader(scripts).build().check()?;
    /// assert_eq!(problems[0].message, "unknown function `emti` on `socket`");
    /// # Ok::<(), patchcord::script::LoadError>(())
    /// ```
    ///
    /// # Errors
    /// When the place of the scripts cannot be read.
    pub fn check(&self) -> Result<Vec<Diagnostic>, LoadError> {
        self.inner.check()
    }

    /// What scripts of this host can call, its own functions included, as definitions for the Rhai language server
    /// (`.d.rhai`).
    ///
    /// ```
    /// let host = patchcord::Host::builder().function("twice(n)", |n: i64| n * 2).build();
    /// assert!(host.definitions().contains("fn twice(n: int) -> int;"));
    /// ```
    pub fn definitions(&self) -> String {
        Words::of(&self.inner.engine, api::VOCABULARY).definitions()
    }

    /// The same as a page to read, in Markdown: every hook and word that has a comment.
    pub fn reference(&self) -> String {
        Words::of(&self.inner.engine, api::VOCABULARY).reference()
    }
}

impl Inner {
    fn check(&self) -> Result<Vec<Diagnostic>, LoadError> {
        let snapshot = Snapshot::of(&*self.loader);
        let (mut read, mut found, mut imported) = (BTreeSet::new(), Vec::new(), BTreeSet::new());
        let mut without_hook = Vec::new();
        let (entries, modules) = sort(&*self.loader, snapshot.list()?);
        for (_, name) in &entries {
            let limits = &self.options.limits;
            let files = match Version::load(&self.engine, &self.known, limits, &snapshot, name, 0) {
                Ok(version) => {
                    found.extend_from_slice(version.warnings());
                    let version = std::sync::Arc::new(version);
                    if version.hook(Hook::Connection).is_none() {
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
            let limits = &self.options.limits;
            found.extend(script::check_module(
                &self.engine,
                &self.known,
                limits,
                &snapshot,
                &name,
            ));
        }
        Ok(diagnostic::in_order(found))
    }
}

/// The entry files with their namespaces, and the files that are for import.
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
