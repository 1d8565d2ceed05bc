//! Loads a script: reads, checks, compiles and runs its files. The result is the state in which its code runs.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use rhai::{
    AST, Engine, EvalAltResult, Expr, FnPtr, GlobalRuntimeState, Module, OptimizationLevel,
    Position, Scope, Stmt,
};

use super::{
    Limits, LoadError, Loader, SymbolTable, budget,
    check::{self, Calls, Exports},
    hook::Hook,
    modules::{Modules, import_statements},
    places::Places,
    program::{FileCode, Files},
    source::{Rejected, SourceFile},
    tokens::{self, Tokens},
    top_level::{self, Listener},
};
use crate::diagnostic::{self, Diagnostic, Place, Severity};

/// Name of a variable that is read after the top level has run. Reading it captures the script's state.
pub(super) const STATE_PROBE: &str = "__state_after_top_level";

thread_local! {
    static CAPTURED: RefCell<Option<GlobalRuntimeState>> = const { RefCell::new(None) };
}

/// Captures the state of the top level that runs on this thread, for calls that start from it.
pub(super) fn capture(running: &GlobalRuntimeState) {
    let mut state = running.clone();
    state.level = 0;
    state.scope_level = 0;
    state.num_operations = Default::default();
    CAPTURED.set(Some(state));
}

/// Loaded script.
pub(super) struct Entry {
    /// Code of its files.
    pub(super) code: Files,
    /// Files from which the script was read.
    pub(super) files: Vec<SourceFile>,
    /// Closure that the script passed to `io.on("connection", ...)`.
    pub(super) on_connection: Option<FnPtr>,
    /// Warnings about code that probably does something unintended.
    pub(super) warnings: Vec<Diagnostic>,
    /// Closures and named functions of its files.
    pub(super) places: Places,
}

/// Loads an entry file and everything that it imports.
pub(super) fn entry(
    engine: &Engine,
    known: &SymbolTable,
    limits: &Limits,
    loader: &dyn Loader,
    name: &str,
) -> Result<Entry, Rejected> {
    let mut loading = Loading::new(engine, known, limits, loader);
    let result = loading.entry(name);
    CAPTURED.take();
    let (files, mut found, places) = (loading.files, loading.found, loading.places);
    match result {
        Ok(Some((code, on_connection))) => Ok(Entry {
            code,
            files,
            on_connection,
            warnings: found,
            places,
        }),
        Ok(None) => Err(Rejected {
            diagnostics: found,
            files,
        }),
        Err(diagnostic) => {
            found.push(*diagnostic);
            Err(Rejected {
                diagnostics: found,
                files,
            })
        }
    }
}

/// Returns the diagnostics of a file that is meant only for `import`, but that no script imports.
pub(crate) fn module(
    engine: &Engine,
    known: &SymbolTable,
    limits: &Limits,
    loader: &dyn Loader,
    name: &str,
) -> Vec<Diagnostic> {
    let mut loading = Loading::new(engine, known, limits, loader);
    let result = loading.compile(name, Some(&Place::new(name, 1, 1)));
    loading.found.extend(result.err().map(|error| *error));
    loading.found
}

type Loads<T> = Result<T, Box<Diagnostic>>;

/// Code of a script, and the closure that it passed to `io.on("connection", ...)`.
type Serves = (Files, Option<FnPtr>);

struct Loading<'a> {
    engine: &'a Engine,
    known: &'a SymbolTable,
    limits: &'a Limits,
    loader: &'a dyn Loader,
    files: Vec<SourceFile>,
    /// Files whose imports are being loaded, to detect circular imports.
    stack: Vec<String>,
    /// Exports of the imported files, by the path of the import.
    exports: BTreeMap<String, Exports>,
    /// Functions that each file calls without a namespace.
    calls: Vec<(String, Calls)>,
    /// Code of the imported files, in the order of loading.
    imported: Vec<FileCode>,
    places: Places,
    /// Imported files as modules, for the top levels that import them.
    modules: Modules,
    /// Errors and warnings that the checks found.
    found: Vec<Diagnostic>,
}

impl<'a> Loading<'a> {
    fn new(
        engine: &'a Engine,
        known: &'a SymbolTable,
        limits: &'a Limits,
        loader: &'a dyn Loader,
    ) -> Self {
        Self {
            engine,
            known,
            limits,
            loader,
            files: Vec::new(),
            stack: Vec::new(),
            exports: BTreeMap::new(),
            calls: Vec::new(),
            imported: Vec::new(),
            places: Places::default(),
            modules: Modules::begin(),
            found: Vec::new(),
        }
    }

    /// Returns `None` if the checks have found errors. In this case, no code runs.
    fn entry(&mut self, name: &str) -> Loads<Option<Serves>> {
        let ast = self.compile(name, None)?;
        if self.has_errors() {
            return Ok(None);
        }
        let probed = self.probed(name, &ast)?;
        let (_, listener) = self.run(name, |engine| engine.run_ast(&probed))?;
        let state = self.ended(name)?;
        let on_connection = listener
            .map(|listener| self.listener(name, &ast, listener, &state))
            .transpose()?;
        let entry = FileCode::new(name, None, &ast, &state);
        let code = Files::new(std::mem::take(&mut self.imported), entry, state);
        Ok(Some((code, on_connection)))
    }

    /// Appends a statement to a file that captures the state.
    fn probed(&self, name: &str, ast: &AST) -> Loads<AST> {
        let probe = self
            .engine
            .compile(STATE_PROBE)
            .map_err(|e| self.parse_error(&e, name))?;
        let mut probed = ast.merge(&probe);
        probed.set_source(name);
        Ok(probed)
    }

    /// Returns the state of the top level that has just run.
    #[allow(clippy::unused_self, reason = "it is a step of loading")]
    fn ended(&self, name: &str) -> Loads<GlobalRuntimeState> {
        CAPTURED.take().ok_or_else(|| {
            let ends = Diagnostic::error("the script ends before its last line is reached");
            Box::new(
                ends.at(Place::new(name, 1, 1))
                    .hint("a `return` at top level ends it"),
            )
        })
    }

    fn has_errors(&self) -> bool {
        let mut found = self.found.iter();
        found.any(|diagnostic| diagnostic.severity == Severity::Error)
    }

    /// Returns the AST of a file, after loading everything that it imports. `from` is the location of the import.
    fn compile(&mut self, name: &str, from: Option<&Place>) -> Loads<AST> {
        if self.files.len() > self.limits.modules {
            let message = format!("the script imports more than {} files", self.limits.modules);
            return Err(at(Diagnostic::error(message), from));
        }
        let text = self.read(name, from)?;
        // The checks see the original code, because the engine itself does not optimize.
        let (mut ast, tokens) = self.parse(&text, name)?;
        ast.set_source(name);
        self.stack.push(name.to_owned());
        let imports = imports(&ast);
        for import in &imports {
            self.import(import, name)?;
        }
        self.check_aliases(name, &imports);
        self.stack.pop();
        let file = check::File {
            name,
            text: &text,
            ast: &ast,
            is_entry: from.is_none(),
            modules: &self.exports,
        };
        self.found.extend(check::file(file, self.known));
        self.check_ambiguous_calls(name, Calls::new(&ast));
        let (ast, tokens) = self.with_own_names(ast, tokens, &text, name)?;
        self.places.add(name, &ast, tokens, self.known);
        let mut optimized = self
            .engine
            .optimize_ast(&Scope::new(), ast, OptimizationLevel::Simple);
        // Rhai drops the source name when it optimizes, and would attribute errors to the importing file.
        optimized.set_source(name);
        Ok(optimized)
    }

    /// Reports an import name that refers to two files. A closure can run after the function that created it has
    /// returned, so the name of an import applies to the whole file.
    fn check_aliases(&mut self, name: &str, imports: &[Import]) {
        let mut files = BTreeMap::new();
        let named = imports.iter().filter(|import| !import.alias.is_empty());
        let mut named: Vec<_> = named.collect();
        // Rhai lists functions in no fixed order.
        named.sort_by_key(|import| import.position);
        for import in named {
            let first = files.entry(&import.alias).or_insert(&import.path);
            if *first != &import.path {
                let error = format!("`{}` is the name of two imports", import.alias);
                self.found.push(
                    Diagnostic::error(error)
                        .at(self.place(name, import.position))
                        .hint("give one of them another name: `import \"...\" as name`"),
                );
            }
        }
    }

    fn parse(&self, text: &str, name: &str) -> Loads<(AST, Tokens)> {
        let (ast, tokens) = tokens::recorded(|| self.engine.compile(text));
        Ok((ast.map_err(|e| self.parse_error(&e, name))?, tokens))
    }

    /// Compiles a file again if one of its closures has the same name as a closure of another file. Rhai derives the
    /// name of a closure from its code and its position, so an inserted space changes the name. The stored text does
    /// not change, so columns after the closure are off by one.
    fn with_own_names(
        &self,
        mut ast: AST,
        mut tokens: Tokens,
        text: &str,
        name: &str,
    ) -> Loads<(AST, Tokens)> {
        let mut text = text.to_owned();
        let mut last = BTreeSet::new();
        loop {
            let same = self.places.same_names(&ast);
            // Rhai counts columns only up to a maximum, so an inserted space may have no effect.
            if same.is_empty() || same == last {
                return Ok((ast, tokens));
            }
            // Inserts from the end, because a space shifts the rest of its line.
            for at in same.iter().rev() {
                if let Some(offset) = offset(&text, *at) {
                    text.insert(offset, ' ');
                }
            }
            (ast, tokens) = self.parse(&text, name)?;
            last = same;
        }
    }

    /// Reports functions that Rhai would confuse with those of another file.
    fn check_ambiguous_calls(&mut self, name: &str, calls: Calls) {
        for (other, others) in &self.calls {
            for (function, position) in calls.ambiguous(others) {
                let error = format!(
                    "ambiguous function `{function}`: also defined in `{other}`, and Rhai cannot tell them apart"
                );
                let hint = "give one of them another name, or call the one that is imported by its file: `name::function(...)`";
                self.found.push(
                    Diagnostic::error(error)
                        .at(self.place(name, position))
                        .hint(hint),
                );
            }
        }
        self.calls.push((name.to_owned(), calls));
    }

    fn read(&mut self, name: &str, from: Option<&Place>) -> Loads<Arc<str>> {
        let text = self.loader.read(name);
        let text = text.map(Arc::<str>::from);
        self.files.push(SourceFile {
            name: name.into(),
            text: text.as_ref().ok().cloned(),
        });
        text.map_err(|error| {
            let diagnostic = Diagnostic::error(error.to_string());
            match error {
                LoadError::NotFound(_) => at(
                    diagnostic.hint(
                        "an import is a path from the scripts folder, without the ending `.rhai`",
                    ),
                    from,
                ),
                _ => at(diagnostic, from),
            }
        })
    }

    fn import(&mut self, import: &Import, importer: &str) -> Loads<()> {
        let place = self.place(importer, import.position);
        let Some(path) = &import.path else {
            let diagnostic =
                Diagnostic::error("an import needs a path that is written out as a string")
                    .hint("what a script imports is loaded and watched before the script runs");
            return Err(at(diagnostic, Some(&place)));
        };
        if !stays_inside(path) {
            let diagnostic = Diagnostic::error(format!(
                "the import `{path}` leads out of the scripts folder"
            ))
            .hint("an import is a path from the scripts folder, without the ending `.rhai`")
            .hint("a link in the scripts folder may lead out of it");
            return Err(at(diagnostic, Some(&place)));
        }
        // Each file is loaded only once, even if it has errors.
        if self.exports.contains_key(path) {
            return Ok(());
        }
        let name = format!("{path}.rhai");
        if self.stack.contains(&name) {
            let circle = format!("{} -> {name}", self.stack.join(" -> "));
            return Err(at(
                Diagnostic::error(format!("circular import: {circle}")),
                Some(&place),
            ));
        }
        let ast = self.compile(&name, Some(&place))?;
        self.exports.insert(path.clone(), check::exports(&ast));
        if self.has_errors() {
            return Ok(());
        }
        let probed = self.probed(&name, &ast)?;
        let (module, listener) = self.run(&name, |engine| {
            Module::eval_ast_as_new(Scope::new(), &probed, engine)
        })?;
        let state = self.ended(&name)?;
        if let Some(Listener { position, .. }) = listener {
            let diagnostic = Diagnostic::error(format!("`{name}` is imported and serves nobody"))
                .hint(
                    "`io.on(\"connection\", ...)` belongs into the file that serves the namespace",
                );
            return Err(at(diagnostic, Some(&self.place(&name, position))));
        }
        let mut code = FileCode::new(&name, Some(path), &ast, &state);
        let exported = module.iter_var();
        code.exported = exported
            .map(|(name, value)| (name.to_owned(), value.clone()))
            .collect();
        self.imported.push(code);
        self.modules.insert(path, module.into());
        Ok(())
    }

    /// Runs a top level within the limits of a call. Also returns its connection listener, if it has one.
    fn run<T>(
        &self,
        name: &str,
        top_level: impl FnOnce(&Engine) -> Result<T, Box<EvalAltResult>>,
    ) -> Loads<(T, Option<Listener>)> {
        let _budget = budget::start(self.limits);
        let (result, listener) = top_level::run(|| top_level(self.engine));
        match result {
            Ok(value) => Ok((value, listener)),
            Err(error) => Err(Box::new(Diagnostic::from_eval(&error, name, &|file| {
                self.text(file)
            }))),
        }
    }

    /// Returns the closure that was passed to `io.on("connection", ...)`, if all connections can call it.
    fn listener(
        &self,
        name: &str,
        ast: &AST,
        listener: Listener,
        state: &GlobalRuntimeState,
    ) -> Loads<FnPtr> {
        let position = listener.position;
        let both = ast
            .iter_functions()
            .any(|f| f.name == Hook::Connection.name());
        let closure = match both {
            true => Err(Box::new(Diagnostic::error(
                "`on_connection` and `io.on(\"connection\", ...)` are the same, and one of them is too many",
            ))),
            false => top_level::callable_by_all(ast, listener, state),
        };
        closure.map_err(|problem| at(*problem, Some(&self.place(name, position))))
    }

    fn parse_error(&self, error: &rhai::ParseError, name: &str) -> Box<Diagnostic> {
        let text = self.text(name).unwrap_or_default();
        Box::new(Diagnostic::from_parse(error, name, &text))
    }

    fn place(&self, file: &str, position: Position) -> Place {
        diagnostic::place(file, self.text(file).as_ref(), position)
            .unwrap_or_else(|| Place::new(file, 1, 1))
    }

    fn text(&self, name: &str) -> Option<Arc<str>> {
        self.files
            .iter()
            .find(|f| &*f.name == name)
            .and_then(|f| f.text.clone())
    }
}

fn at(diagnostic: Diagnostic, place: Option<&Place>) -> Box<Diagnostic> {
    Box::new(match place {
        Some(place) => diagnostic.at(place.clone()),
        None => diagnostic,
    })
}

/// Returns the byte index of a position in a text.
fn offset(text: &str, position: Position) -> Option<usize> {
    let (line, column) = (position.line()?, position.position()?);
    let before: usize = text
        .split_inclusive('\n')
        .take(line - 1)
        .map(str::len)
        .sum();
    let (in_line, _) = text.get(before..)?.char_indices().nth(column - 1)?;
    Some(before + in_line)
}

/// Returns `true` if a path stays within the scripts folder, so that no script can import a file outside it.
fn stays_inside(path: &str) -> bool {
    !path.is_empty()
        && !path.contains(['\\', ':', '\0'])
        && path
            .split('/')
            .all(|part| !part.is_empty() && !part.starts_with('.'))
}

struct Import {
    /// Path of the import; `None` if the path is computed.
    path: Option<String>,
    /// Name of the import in its file; empty if it has none.
    alias: String,
    position: Position,
}

/// Returns every `import` of a file, including those inside functions.
fn imports(ast: &AST) -> Vec<Import> {
    let statements = import_statements(ast);
    let imports = statements.iter().filter_map(|statement| match statement {
        Stmt::Import(import, _) => Some(import),
        _ => None,
    });
    imports
        .map(|import| match &import.0 {
            Expr::StringConstant(path, position) => Import {
                path: Some(path.to_string()),
                alias: import.1.name.to_string(),
                position: *position,
            },
            other => Import {
                path: None,
                alias: import.1.name.to_string(),
                position: other.start_position(),
            },
        })
        .collect()
}
