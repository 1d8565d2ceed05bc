//! Compiles the scripts of a host. In: a loader of texts. Out: versions, or the problems of the texts.

use std::sync::Arc;

use rhai::Engine;

use crate::{
    diagnostic::Diagnostic,
    script::{self, Code, Limits, LoadError, Loader, Rejected, SourceFile, SymbolTable, Version},
};

/// Compiles the scripts of a host.
#[derive(Debug)]
pub(super) struct Scripting {
    pub(super) engine: Arc<Engine>,
    /// Names of the functions that scripts can call, for the check before a script runs.
    pub(super) known: SymbolTable,
    pub(super) limits: Limits,
    pub(super) loader: Arc<dyn Loader>,
}

impl Scripting {
    /// Compiles `entry` and its imports, as `loader` reads them, into a version. Constants keep the values that they
    /// have in the version `before`.
    pub(super) fn compile(
        &self,
        loader: &dyn Loader,
        entry: &str,
        number: u64,
        before: Option<&Version>,
    ) -> Result<Version, Rejected> {
        let (engine, known, limits) = (&self.engine, &self.known, &self.limits);
        let before = before.map(|version| &**version);
        Code::load(engine, known, limits, loader, entry, number, before).map(Version::from)
    }

    /// Compiles a version again from its texts.
    pub(super) fn compile_again(
        &self,
        files: &[SourceFile],
        entry: &str,
        number: u64,
    ) -> Result<Arc<Version>, Rejected> {
        let version = self.compile(&TextsOf(files), entry, number, None);
        version.map(Arc::new)
    }

    /// Returns the problems of a file that no script imports.
    pub(super) fn check_module(&self, loader: &dyn Loader, name: &str) -> Vec<Diagnostic> {
        script::check_module(&self.engine, &self.known, &self.limits, loader, name)
    }
}

/// Loader of the texts of one version, to compile it again.
#[derive(Debug)]
struct TextsOf<'a>(&'a [SourceFile]);

impl Loader for TextsOf<'_> {
    fn list(&self) -> Result<Vec<String>, LoadError> {
        let there = self.0.iter().filter(|file| file.text.is_some());
        Ok(there.map(|file| file.name.to_string()).collect())
    }

    fn read(&self, name: &str) -> Result<String, LoadError> {
        let file = self.0.iter().find(|file| &*file.name == name);
        let text = file.and_then(|file| file.text.as_deref());
        text.map(str::to_owned)
            .ok_or_else(|| LoadError::NotFound(name.to_owned()))
    }
}
