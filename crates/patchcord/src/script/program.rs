//! Code that calls of a version can reach, in one state in which all of its functions run.
//!
//! Rhai looks up the function of a closure only in the first library of the running state, whichever file called it. A
//! function runs with the constants and imports of its caller, unless it carries its own. Therefore the first library
//! has the functions of the entry file and the closures of every file. If there are imports, each of these functions
//! carries the environment of its file.
//!
//! Closures of earlier versions may still be alive. Their definitions are added to the new ones, together with
//! everything that they need and that the new version no longer has. If a function or a constant still exists, old
//! closures use the new one, too.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, OnceLock},
};

use rhai::{
    AST, ASTFlags, ASTNode, Dynamic, Engine, EvalAltResult, Expr, FnAccess, FnPtr,
    GlobalRuntimeState, Ident, ImmutableString, Module, Position, Scope, ScriptFuncDef, Shared,
    Stmt,
};

use super::{
    budget,
    call_cache::{self, Slot},
    captures::{ast_of, is_closure, split_value_name, value_name},
    constants::{self, COPIES},
    modules::{Modules, import_statements},
};

/// Code of one file.
#[derive(Debug, Clone)]
pub(super) struct FileCode {
    pub(super) name: Arc<str>,
    /// Path by which other files import it; `None` for the entry file.
    pub(super) path: Option<String>,
    pub(super) functions: Vec<Shared<ScriptFuncDef>>,
    /// Every import of the file, including those inside functions, because a closure can run after its function has
    /// returned.
    pub(super) imports: Vec<Stmt>,
    pub(super) constants: BTreeMap<ImmutableString, Dynamic>,
    /// Variables that other files can read.
    pub(super) exported: Vec<(String, Dynamic)>,
}

/// Files of a version: the imported ones in the order of loading, and the entry file.
#[derive(Debug, Clone)]
pub(super) struct Files {
    pub(super) imported: Vec<FileCode>,
    pub(super) entry: FileCode,
    /// State after the top level of the entry file has run.
    pub(super) top_level: GlobalRuntimeState,
    /// Names of the functions that mention `this`, in the form by which values refer to them.
    pub(super) with_this: BTreeSet<String>,
}

/// State for calls, or the reason why the code cannot be linked.
type State = Result<GlobalRuntimeState, Arc<str>>;

/// Code that calls can reach. Immutable.
#[derive(Debug)]
pub(super) struct Program {
    files: Arc<Files>,
    /// Files of earlier versions whose closures are alive.
    earlier: Vec<Arc<Files>>,
    /// One state for each group of threads if there are constants, because Rhai locks all constants to read one.
    states: Vec<OnceLock<State>>,
    /// Caches of calls; empty for a program with imports.
    caches: Vec<Slot>,
}

impl FileCode {
    /// Reads the code of a compiled file, whose top level has ended in `state`.
    pub(super) fn new(
        name: &str,
        path: Option<&str>,
        ast: &AST,
        state: &GlobalRuntimeState,
    ) -> Self {
        let constants = state.constants.as_ref().map(constants::read);
        Self {
            name: name.into(),
            path: path.map(str::to_owned),
            functions: ast.iter_fn_def().cloned().collect(),
            imports: import_statements(ast),
            constants: constants.unwrap_or_default(),
            exported: Vec::new(),
        }
    }

    fn defines(&self, function: &ScriptFuncDef) -> bool {
        let mut own = self.functions.iter();
        own.any(|own| own.name == function.name && own.params.len() == function.params.len())
    }

    /// Adds the functions, constants and imports that an earlier text of the file has and this one lacks.
    fn complete(&mut self, earlier: &Self) {
        let lost: Vec<_> = earlier
            .functions
            .iter()
            .filter(|function| !self.defines(function))
            .cloned()
            .collect();
        self.functions.extend(lost);
        for (name, value) in &earlier.constants {
            let constant = self.constants.entry(name.clone());
            constant.or_insert_with(|| value.clone());
        }
        let known: BTreeSet<_> = self.imports.iter().filter_map(alias).collect();
        let lost = earlier.imports.iter().filter(|import| {
            let alias = alias(import);
            alias.is_some_and(|alias| !known.contains(&alias))
        });
        let lost: Vec<_> = lost.cloned().collect();
        self.imports.extend(lost);
    }

    /// Adds the functions of an imported file once more, under the names by which values refer to them.
    fn with_values(mut self) -> Self {
        let named = self.functions.iter();
        let named = named.filter(|function| !is_closure(&function.name));
        let values: Vec<Shared<ScriptFuncDef>> = named
            .map(|function| {
                let mut value = public(function);
                value.name = value_name(&function.name, &self.name).into();
                value.into()
            })
            .collect();
        self.functions.extend(values);
        self
    }

    /// Creates a module from the file, whose functions carry their environment, without running its top level.
    fn link(&self, engine: &Engine) -> Result<Module, Box<EvalAltResult>> {
        let constants = self.constants.iter().map(|(name, value)| {
            let value = Expr::DynamicConstant(Box::new(value.clone()), Position::NONE);
            let ident = Ident {
                name: name.clone(),
                pos: Position::NONE,
            };
            let constant = Box::new((ident, value, None));
            Stmt::Var(constant, ASTFlags::CONSTANT, Position::NONE)
        });
        let statements = self.imports.iter().cloned().chain(constants);
        let mut library = Module::new();
        for function in &self.functions {
            library.set_script_fn(function.clone());
        }
        let ast = AST::new_with_source(statements, library, &*self.name);
        let mut module = Module::eval_ast_as_new(Scope::new(), &ast, engine)?;
        for (name, value) in &self.exported {
            module.set_var(name.as_str(), value.clone());
        }
        Ok(module)
    }
}

impl Files {
    /// Creates the code of a version.
    pub(super) fn new(
        imported: Vec<FileCode>,
        entry: FileCode,
        top_level: GlobalRuntimeState,
    ) -> Self {
        let of_entry = entry.functions.iter().map(|f| (f.name.to_string(), f));
        let of_imported = imported.iter().flat_map(|file| {
            let name = |f: &ScriptFuncDef| match is_closure(&f.name) {
                true => f.name.to_string(),
                false => value_name(&f.name, &file.name),
            };
            file.functions.iter().map(move |f| (name(f), f))
        });
        let all = of_entry.chain(of_imported);
        let with_this = all.filter(|(_, function)| mentions_this(function));
        Self {
            with_this: with_this.map(|(name, _)| name).collect(),
            imported,
            entry,
            top_level,
        }
    }

    /// Returns the values of the top levels, each with its file and its name.
    pub(super) fn globals_mut(&mut self) -> impl Iterator<Item = (&Arc<str>, &str, &mut Dynamic)> {
        let files = self.imported.iter_mut().chain([&mut self.entry]);
        files.flat_map(|file| {
            let FileCode {
                name: of,
                constants,
                exported,
                ..
            } = file;
            let constants = constants
                .iter_mut()
                .map(|(name, value)| (name.as_str(), value));
            let exported = exported
                .iter_mut()
                .map(|(name, value)| (name.as_str(), value));
            constants
                .chain(exported)
                .map(|(name, value)| (&*of, name, value))
        })
    }

    /// Sets the constants that a closure of the entry file's top level has captured to their values in this version.
    pub(super) fn capture_constants(&self, closure: &mut FnPtr) {
        let name = closure.fn_name().to_owned();
        let mut functions = self.entry.functions.iter();
        let Some(function) = functions.find(|function| *function.name == *name) else {
            return;
        };
        let function = function.clone();
        for (name, value) in function.params.iter().zip(closure.iter_curry_mut()) {
            if let Some(constant) = self.entry.constants.get(name) {
                *value = constant.clone();
            }
        }
    }

    fn has_constants(&self) -> bool {
        let mut files = self.imported.iter().chain([&self.entry]);
        files.any(|file| !file.constants.is_empty())
    }

    fn file(&self, name: &str) -> Option<&FileCode> {
        let mut files = self.imported.iter().chain([&self.entry]);
        files.find(|file| &*file.name == name)
    }

    /// Returns the state of a script without imports: one library, whose functions carry no environment.
    fn plain(&self, earlier: &[Arc<Self>]) -> GlobalRuntimeState {
        let mut state = self.top_level.clone();
        let mut entry = self.entry.clone();
        for earlier in earlier {
            entry.complete(&earlier.entry);
        }
        if !earlier.is_empty() {
            let mut library = Module::new();
            for function in &entry.functions {
                library.set_script_fn(function.clone());
            }
            library.set_id(&*entry.name);
            library.build_index();
            state.lib.clear();
            state.lib.push(library.into());
        }
        state.constants = constants::shared(entry.constants);
        state
    }

    /// Returns the state of a script with imports: every function carries the environment of its file.
    fn linked(
        &self,
        earlier: &[Arc<Self>],
        engine: &Engine,
    ) -> Result<GlobalRuntimeState, Box<EvalAltResult>> {
        let mut library = Module::new();
        let modules = Modules::begin();
        // Earlier versions contribute only modules that the new version no longer has.
        let lost = earlier.iter().flat_map(|files| &files.imported);
        let lost: Vec<_> = lost
            .filter(|file| self.file(&file.name).is_none())
            .collect();
        for file in lost.iter().copied().chain(&self.imported) {
            let module = Shared::new(file.clone().with_values().link(engine)?);
            if let Some(path) = &file.path {
                modules.insert(path, module.clone());
            }
            merge(&mut library, module, is_reached_by_value);
        }
        for earlier in earlier {
            let files = earlier.imported.iter().chain([&earlier.entry]);
            for lost in files {
                let mut file = self.file(&lost.name).unwrap_or(lost).clone();
                let before = file.functions.len();
                file.complete(lost);
                let added = file.functions.iter().skip(before);
                let added: BTreeSet<_> = added.map(|function| function.name.clone()).collect();
                if !added.is_empty() {
                    let module = file.with_values().link(engine)?;
                    merge(&mut library, module.into(), |name| added.contains(name));
                }
            }
        }
        let mut entry = self.entry.clone();
        for function in &mut entry.functions {
            if function.access == FnAccess::Private {
                *function = public(function).into();
            }
        }
        merge(&mut library, entry.link(engine)?.into(), |_| true);
        library.set_id(&*self.entry.name);
        library.build_index();
        let mut state = self.top_level.clone();
        state.lib.clear();
        state.lib.push(library.into());
        state.embedded_module_resolver = Some(modules.resolver().into());
        state.constants = constants::shared(entry.constants);
        Ok(state)
    }
}

impl Program {
    /// Creates the program of a version.
    pub(super) fn new(files: Arc<Files>) -> Self {
        Self::with(files, Vec::new())
    }

    /// Returns this program with the closures of an earlier version.
    pub(super) fn and(&self, earlier: Arc<Files>) -> Self {
        let earlier = self.earlier.iter().cloned().chain([earlier]).collect();
        Self::with(self.files.clone(), earlier)
    }

    fn with(files: Arc<Files>, earlier: Vec<Arc<Files>>) -> Self {
        let has_constants = earlier
            .iter()
            .chain([&files])
            .any(|files| files.has_constants());
        let copies = if has_constants { COPIES } else { 1 };
        let is_plain = Self::is_plain(&files, &earlier);
        Self {
            states: std::iter::repeat_with(OnceLock::new).take(copies).collect(),
            caches: call_cache::slots(is_plain),
            files,
            earlier,
        }
    }

    fn is_plain(files: &Files, earlier: &[Arc<Files>]) -> bool {
        let mut earlier = earlier.iter();
        files.imported.is_empty() && earlier.all(|files| files.imported.is_empty())
    }

    /// Returns `true` if a function mentions `this`.
    pub(super) fn mentions_this(&self, function: &str) -> bool {
        let mut all = self.earlier.iter().chain([&self.files]);
        all.any(|files| files.with_this.contains(function))
    }

    pub(super) const fn files(&self) -> &Arc<Files> {
        &self.files
    }

    /// Returns the state for calls of this thread.
    ///
    /// # Errors
    /// Returns the reason why the code cannot be linked.
    pub(super) fn state(&self, engine: &Engine) -> Result<&GlobalRuntimeState, Box<EvalAltResult>> {
        let state = constants::of_this_thread(&self.states);
        let state = state.map(|state| state.get_or_init(|| self.build(engine)));
        match state {
            Some(Ok(state)) => Ok(state),
            Some(Err(error)) => Err(error.to_string().into()),
            None => Ok(&self.files.top_level),
        }
    }

    /// Links the code for this thread, and also for all other threads if that is cheap.
    ///
    /// # Errors
    /// Returns the reason why the code cannot be linked.
    pub(super) fn prepare(&self, engine: &Engine) -> Result<(), Box<EvalAltResult>> {
        if Self::is_plain(&self.files, &self.earlier) {
            for state in &self.states {
                state.get_or_init(|| self.build(engine));
            }
        }
        self.state(engine).map(drop)
    }

    fn build(&self, engine: &Engine) -> State {
        if Self::is_plain(&self.files, &self.earlier) {
            return Ok(self.files.plain(&self.earlier));
        }
        // Linking runs no code of the script, so it does not count against a budget, however large the script is.
        let _budget = budget::suspend();
        let linked = self.files.linked(&self.earlier, engine);
        linked.map_err(|error| error.to_string().into())
    }

    /// Returns the cache for calls of this thread, if calls may use one.
    pub(super) fn cache(&self) -> Option<&Slot> {
        constants::of_this_thread(&self.caches)
    }
}

fn is_reached_by_value(name: &str) -> bool {
    is_closure(name) || split_value_name(name).1.is_some()
}

fn mentions_this(function: &Shared<ScriptFuncDef>) -> bool {
    let mut found = false;
    ast_of(function).walk(&mut |nodes| {
        found |= matches!(nodes.last(), Some(ASTNode::Expr(Expr::ThisPtr(_))));
        !found
    });
    found
}

fn public(function: &ScriptFuncDef) -> ScriptFuncDef {
    ScriptFuncDef {
        access: FnAccess::Public,
        ..function.clone()
    }
}

fn merge(library: &mut Module, module: Shared<Module>, keep: impl Fn(&str) -> bool) {
    let mut functions = AST::new_from_module(module);
    functions.retain_functions(|_, _, name, _| keep(name));
    library.merge(functions.shared_lib());
}

fn alias(import: &Stmt) -> Option<&str> {
    match import {
        Stmt::Import(import, _) => Some(import.1.name.as_str()),
        _ => None,
    }
}
