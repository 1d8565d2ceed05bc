//! Compiles the scripts of a host. In: a loader of texts. Out: versions, or the problems of the texts.

use std::sync::Arc;

use rhai::Engine;

use crate::{
    diagnostic::Diagnostic,
    script::{self, Code, Limits, Loader, Rejected, SymbolTable, Version},
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

    /// Returns the problems of a file that no script imports.
    pub(super) fn check_module(&self, loader: &dyn Loader, name: &str) -> Vec<Diagnostic> {
        script::check_module(&self.engine, &self.known, &self.limits, loader, name)
    }
}
