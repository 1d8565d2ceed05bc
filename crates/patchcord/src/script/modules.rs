//! Modules that top levels import while a script is loaded or linked. A module is loaded before it is imported.

use std::{cell::RefCell, collections::BTreeMap};

use rhai::{
    AST, ASTNode, Engine, EvalAltResult, Module, ModuleResolver, Position, Shared, Stmt,
    module_resolvers::StaticModuleResolver,
};

thread_local! {
    static LOADED: RefCell<BTreeMap<String, Shared<Module>>> = const { RefCell::new(BTreeMap::new()) };
}

/// Module resolver of the engine, which finds the modules of this thread.
pub(super) struct Loaded;

impl ModuleResolver for Loaded {
    fn resolve(
        &self,
        _: &Engine,
        _: Option<&str>,
        path: &str,
        position: Position,
    ) -> Result<Shared<Module>, Box<EvalAltResult>> {
        LOADED
            .with_borrow(|modules| modules.get(path).cloned())
            .ok_or_else(|| EvalAltResult::ErrorModuleNotFound(path.to_owned(), position).into())
    }
}

/// Modules with which code is linked on this thread. The previous modules are restored on drop.
pub(super) struct Modules {
    before: BTreeMap<String, Shared<Module>>,
}

impl Modules {
    /// Starts with no modules.
    pub(super) fn begin() -> Self {
        Self {
            before: LOADED.take(),
        }
    }

    /// Adds a module, for code that is linked from now on.
    #[allow(clippy::unused_self, reason = "it exists while code is linked")]
    pub(super) fn insert(&self, path: &str, module: Shared<Module>) {
        LOADED.with_borrow_mut(|modules| modules.insert(path.to_owned(), module));
    }

    /// Returns all modules, for the calls of the linked code.
    #[allow(clippy::unused_self, reason = "it exists while code is linked")]
    pub(super) fn resolver(&self) -> StaticModuleResolver {
        let mut resolver = StaticModuleResolver::new();
        LOADED.with_borrow(|modules| {
            for (path, module) in modules {
                resolver.insert(path.as_str(), (**module).clone());
            }
        });
        resolver
    }
}

impl Drop for Modules {
    fn drop(&mut self) {
        LOADED.set(std::mem::take(&mut self.before));
    }
}

/// Returns every `import` of a file, including those inside functions.
pub(super) fn import_statements(ast: &AST) -> Vec<Stmt> {
    let mut found = Vec::new();
    ast.walk(&mut |nodes| {
        if let Some(ASTNode::Stmt(import @ Stmt::Import(..))) = nodes.last() {
            found.push((*import).clone());
        }
        true
    });
    found
}
