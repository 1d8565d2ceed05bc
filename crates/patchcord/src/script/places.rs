//! Places in a version's code: its closures and named functions, with the data that identifies each of them in another
//! version.
//!
//! In: the original AST of each file, before optimization, and its tokens. Out: [`Places`], a [`Row`] for each closure
//! and a [`Function`] for each named function.
//!
//! An AST does not show how closures are nested, because the body of each closure is a separate function. The nesting
//! is determined from the ranges of tokens: a closure whose range is within that of another closure is created by that
//! closure.

mod own_socket;
mod owner;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    ops::Range,
    sync::{Arc, OnceLock},
};

use rhai::{AST, ASTNode, Expr, FnCallExpr, INT, ImmutableString, Position, Stmt};

pub(super) use own_socket::OwnSocket;
pub(super) use owner::Owner;

use super::{
    captures::value_name,
    check::{Closure, closure},
    symbols::SymbolTable,
    tokens::{self, Brackets, Shape, Spot, Token, Tokens, hash, hash_all, spot},
};

/// Closure of a version and its use, or a use of a named function instead of a closure.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Row {
    /// Name of the file.
    pub file: Arc<str>,
    /// Rhai's name of the closure, `anon$...`, or that of the named function.
    pub name: ImmutableString,
    /// Index of the named function that is used instead of a closure.
    pub named: Option<usize>,
    /// Line and column of the closure's first `|`.
    pub position: (usize, usize),
    /// Index of the enclosing named function; `None` at top level.
    pub function: Option<usize>,
    /// Row of the enclosing closure.
    pub parent: Option<usize>,
    /// Function or method to which the closure is passed, or `let x`, `key k`, `[]`.
    pub word: ImmutableString,
    /// First string literal among the arguments of that call.
    pub event: Option<ImmutableString>,
    /// First integer literal among the arguments of that call.
    pub number: Option<INT>,
    /// Index among the arguments of that call, or among the elements of an array.
    pub slot: usize,
    /// `true` if that call only registers the closure, and something else calls it later.
    pub later: bool,
    /// Names of the captured variables, in the order of the closure's first parameters.
    pub captured: Vec<ImmutableString>,
    /// Number of declared parameters, without captured variables.
    pub params: usize,
    /// Hash of the closure's tokens.
    pub body: u64,
    /// Hash of the tokens of the closure's statement, without the closures in it.
    pub statement: u64,
    pub(super) file_index: usize,
    pub(super) range: Range<usize>,
}

impl Row {
    /// Returns `true` for a listener to an event that clients send.
    pub fn is_listener(&self) -> bool {
        self.later && matches!(self.word.as_str(), "on" | "once")
    }

    /// Returns `true` if the two are registered by different kinds of functions, such as `on` and `set_timeout`.
    pub(super) fn is_registered_otherwise(&self, other: &Self) -> bool {
        let kind = |row: &Self| match row.word.as_str() {
            "once" => "on".into(),
            "set_interval" => "set_timeout".into(),
            "send" | "broadcast" => "emit".into(),
            _ => row.word.clone(),
        };
        self.later && other.later && kind(self) != kind(other)
    }

    /// Returns a readable name: the event of a listener, the function to which a timer or an ack callback is passed, or
    /// the variable or key that contains the closure.
    pub fn title(&self) -> String {
        let word = self.word.as_str();
        let variable = word.strip_prefix("let ").or(word.strip_prefix("key "));
        match (&self.event, variable.or(word.strip_suffix(" ="))) {
            (Some(event), _) if self.is_listener() => format!("\"{event}\""),
            (Some(event), _) => format!("{word} \"{event}\""),
            (None, Some(name)) => format!("closure {name}"),
            (None, None) if word.is_empty() || word == "[]" => "closure".to_owned(),
            (None, None) => word.to_owned(),
        }
    }
}

/// Named function of a version.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Function {
    /// Name of the file.
    pub file: Arc<str>,
    /// Name of the function.
    pub name: ImmutableString,
    /// Number of parameters.
    pub arity: usize,
    /// Line and column of the keyword `fn`.
    pub position: (usize, usize),
    /// Hash of the tokens after the name.
    pub body: u64,
    pub(super) file_index: usize,
    pub(super) range: Range<usize>,
}

/// Declaration of a variable, a constant or a parameter.
#[derive(Debug)]
pub(super) struct Declared {
    pub(super) name: u64,
    pub(super) at: usize,
    in_loop: bool,
}

/// File of a version.
#[derive(Debug)]
pub(super) struct File {
    pub(super) name: Arc<str>,
    pub(super) tokens: Tokens,
    /// Names of imports, as tokens, with the files to which they refer.
    pub(super) imports: Vec<(u64, String)>,
    /// Variables and constants of the top level, as tokens, with the statements that declare them.
    pub(super) globals: Vec<(u64, Range<usize>)>,
    pub(super) declared: Vec<Declared>,
}

/// Closures and named functions of a version.
#[derive(Debug, Default)]
pub struct Places {
    /// Files in the order of their compilation; the entry file comes last.
    pub(super) files: Vec<File>,
    rows: Vec<Row>,
    functions: Vec<Function>,
    by_name: HashMap<ImmutableString, usize>,
    code: OnceLock<u64>,
}

impl Places {
    /// Returns the closures, in the order of the text of each file.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Returns the named functions, in the order of the text of each file.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// Returns the row of a closure by its name in Rhai.
    pub fn row_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// Returns a row by its index.
    pub fn row(&self, index: usize) -> Option<&Row> {
        self.rows.get(index)
    }

    /// Returns the named function that contains a row.
    pub fn function_of(&self, row: &Row) -> Option<&Function> {
        self.functions.get(row.function?)
    }

    /// Returns the file and line of the first call that registers a closure or a function as a listener to an event
    /// with this name.
    pub fn listening(&self, event: &str) -> Option<(Arc<str>, usize)> {
        let words = ["on", "once"].map(tokens::name);
        let event = tokens::text(event);
        self.files.iter().rev().find_map(|file| {
            let calls = file.tokens.all(Shape::Open);
            let mut calls = calls.filter_map(|open| {
                let word = file.tokens.get(open.checked_sub(1)?)?;
                let first = file.tokens.get(open + 1)?;
                (words.contains(&word.hash) && first.hash == event).then_some(word.spot)
            });
            calls.next().map(|spot| (file.name.clone(), place(spot).0))
        })
    }

    /// Returns a hash of all tokens of all files.
    pub(super) fn code(&self) -> u64 {
        *self.code.get_or_init(|| {
            let files = self.files.iter().map(|file| {
                let tokens = file.tokens.hash(0..file.tokens.len());
                hash(&(&*file.name, tokens))
            });
            hash(&files.collect::<Vec<_>>())
        })
    }

    /// Returns a named function of the entry file by its name.
    pub(super) fn in_entry(&self, name: &str) -> Option<Owner> {
        let mut functions = self.functions.iter();
        let found = functions.position(|function| {
            function.file_index + 1 == self.files.len() && function.name == name
        });
        found.map(Owner::Function)
    }

    /// Returns the name by which values refer to a named function.
    pub(super) fn value_name(&self, function: &Function) -> String {
        match function.file_index + 1 == self.files.len() {
            true => function.name.to_string(),
            false => value_name(&function.name, &function.file),
        }
    }

    /// Returns the name under which the code of a row is called.
    pub(super) fn code_name(&self, row: &Row) -> String {
        let named = row.named.and_then(|function| self.functions.get(function));
        named.map_or_else(
            || row.name.to_string(),
            |function| self.value_name(function),
        )
    }

    /// Returns the uses of a named function, with their rows. `function` is the name by which values refer to it.
    pub(super) fn uses<'a>(&'a self, function: &'a str) -> impl Iterator<Item = (usize, &'a Row)> {
        let uses = self.rows.iter().enumerate();
        uses.filter(move |(_, row)| row.named.is_some() && self.code_name(row) == function)
    }

    /// Returns `true` if the text may register a named function: by a use that satisfies `fits`, as the value of a
    /// variable, as an argument of a helper, or by its name in a string.
    pub(super) fn may_register(&self, function: &str, fits: &dyn Fn(&Row) -> bool) -> bool {
        let name = function.split('@').next().unwrap_or(function);
        let (as_name, as_text) = (tokens::name(name), tokens::text(name));
        self.files.iter().enumerate().any(|(file_index, file)| {
            (0..file.tokens.len()).any(|index| {
                let Some(token) = file.tokens.get(index) else {
                    return false;
                };
                let shape = |at: Option<usize>| at.and_then(|at| file.tokens.shape(at));
                let (last, next) = (shape(index.checked_sub(1)), shape(Some(index + 1)));
                if token.hash == as_text {
                    let word = index.checked_sub(2).and_then(|at| file.tokens.get(at));
                    return word.is_some_and(|word| word.hash == tokens::name("Fn"));
                }
                if token.hash != as_name
                    || matches!(last, Some(Shape::Fn | Shape::Dot | Shape::Let))
                    || matches!(next, Some(Shape::Open | Shape::Unit | Shape::Colon))
                {
                    return false;
                }
                let mut uses = self.rows.iter();
                let used = uses.find(|row| {
                    row.file_index == file_index && row.named.is_some() && row.range.start == index
                });
                used.is_none_or(fits)
            })
        })
    }

    /// Returns the tokens of a closure.
    pub(super) fn tokens_of(&self, row: &Row) -> &[Token] {
        let file = self.files.get(row.file_index);
        file.map(|file| file.tokens.slice(row.range.clone()))
            .unwrap_or_default()
    }

    /// Returns `true` if the code around a closure declares a name exactly once, and not in a loop. That code is the
    /// enclosing named function, or else the outermost closure, including all closures in it.
    fn is_declared_once(&self, row: usize, name: &str) -> bool {
        let is_declared_once = || {
            let mut outermost = self.rows.get(row)?;
            while let Some(parent) = outermost.parent {
                outermost = self.rows.get(parent)?;
            }
            let range = match self.function_of(outermost) {
                Some(function) => &function.range,
                None => &outermost.range,
            };
            let name = tokens::name(name);
            let declared = &self.files.get(outermost.file_index)?.declared;
            let mut found = declared
                .iter()
                .filter(|d| d.name == name && range.contains(&d.at));
            let first = found.next()?;
            Some(!first.in_loop && found.next().is_none())
        };
        is_declared_once().unwrap_or(false)
    }

    /// Returns the positions, in the order of the text, of the closures of a file that have the same names as closures
    /// of another file. Rhai would confuse these.
    pub(super) fn same_names(&self, ast: &AST) -> BTreeSet<Position> {
        let mut found = BTreeSet::new();
        ast.walk(&mut |nodes| {
            if let Some(ASTNode::Expr(expression)) = nodes.last()
                && let Some(closure) = closure(expression)
                && self.by_name.contains_key(closure.name.as_str())
            {
                found.insert(closure.position);
            }
            true
        });
        found
    }

    /// Adds a file, with its original AST, before optimization.
    pub(super) fn add(&mut self, name: &str, ast: &AST, tokens: Tokens, known: &SymbolTable) {
        let brackets = Brackets::new(&tokens);
        let mut gathering = Gathering::new(ast, &tokens, &brackets);
        let declarations = gathering.functions();
        ast.walk(&mut |nodes| {
            gathering.node(nodes);
            true
        });
        let globals = gathering.globals();
        let Gathering {
            found,
            mut declared,
            imports,
            ..
        } = gathering;

        let file: Arc<str> = name.into();
        let file_index = self.files.len();
        let own = |word: &str| declarations.iter().any(|f| f.name == word);
        let functions = self.functions.len();
        let mut nest = Nest::new(self.rows.len());
        let mut rows = Vec::new();
        let ranges: Vec<_> = declarations
            .iter()
            .map(|function| function.range.clone())
            .chain(
                found
                    .values()
                    .filter(|f| !f.is_named)
                    .map(|f| f.range.clone()),
            )
            .collect();
        let is_variable = |found: &Found| {
            let name = tokens::name(&found.name);
            declared.iter().filter(|d| d.name == name).any(|d| {
                let around = ranges.iter().filter(|range| range.contains(&d.at));
                let inner = around.min_by_key(|range| range.len());
                inner.is_none_or(|range| range.contains(&found.range.start))
            })
        };
        let found: Vec<_> = found
            .into_values()
            .filter(|found| {
                let registers = known.registers(&found.usage.word) && !own(&found.usage.word);
                !found.is_named || registers && own(&found.name) && !is_variable(found)
            })
            .collect();
        for found in found {
            let named = declarations
                .iter()
                .rposition(|f| found.is_named && f.name == found.name);
            let enclosing = declarations
                .iter()
                .position(|function| function.range.contains(&found.range.start));
            for parameter in &found.own {
                declared.push(Declared {
                    name: tokens::name(parameter),
                    at: found.range.start,
                    in_loop: false,
                });
            }
            rows.push(Row {
                file: file.clone(),
                position: place(found.at),
                function: enclosing.map(|index| functions + index),
                parent: nest.enter(&found.range),
                later: known.registers(&found.usage.word) && !own(&found.usage.word),
                word: found.usage.word,
                event: found.usage.event,
                number: found.usage.number,
                slot: found.usage.slot,
                params: named.map_or(found.own.len(), |_| 0),
                named: named.map(|index| functions + index),
                name: found.name,
                captured: found.captured,
                body: tokens.hash(found.range.clone()),
                statement: 0,
                file_index,
                range: found.range,
            });
        }
        statements(&mut rows, self.rows.len(), &tokens, &brackets);
        for function in declarations {
            self.functions.push(Function {
                file: file.clone(),
                position: place(function.at),
                // Skips `fn` and the name.
                body: tokens.hash(function.range.start + 2..function.range.end),
                name: function.name,
                arity: function.arity,
                file_index,
                range: function.range,
            });
        }
        for row in rows {
            if row.named.is_none() {
                let by_name = self.by_name.entry(row.name.clone());
                by_name.or_insert(self.rows.len());
            }
            self.rows.push(row);
        }
        self.files.push(File {
            name: file,
            tokens,
            imports,
            globals,
            declared,
        });
    }
}

fn place((line, column): Spot) -> (usize, usize) {
    (line.into(), column.into())
}

/// Closures around the current position.
struct Nest {
    next: usize,
    open: Vec<(usize, usize)>,
}

impl Nest {
    const fn new(first: usize) -> Self {
        Self {
            next: first,
            open: Vec::new(),
        }
    }

    /// Enters the next closure of the text, and returns the row of the enclosing closure.
    fn enter(&mut self, range: &Range<usize>) -> Option<usize> {
        while self.open.pop_if(|(_, end)| *end <= range.start).is_some() {}
        let parent = self.open.last().map(|(row, _)| *row);
        self.open.push((self.next, range.end));
        self.next += 1;
        parent
    }
}

/// Sets the hashes of statements. Closures of one statement have the same hash.
fn statements(rows: &mut [Row], first: usize, tokens: &Tokens, brackets: &Brackets<'_>) {
    let ends: HashMap<_, _> = rows
        .iter()
        .map(|row| (row.range.start, row.range.end))
        .collect();
    let ranges: Vec<_> = rows.iter().map(|row| row.range.clone()).collect();
    let mut known = HashMap::new();
    for row in rows {
        let mut statement = brackets.statement(&row.range);
        // A statement around the parent does not belong to the closure.
        let parent = row.parent.and_then(|parent| ranges.get(parent - first));
        if let Some(parent) = parent {
            statement.start = statement.start.max(parent.start + 1);
            statement.end = statement.end.min(parent.end);
        }
        let (from, to) = (statement.start, statement.end);
        row.statement = *known.entry((from, to)).or_insert_with(|| {
            let mut index = from;
            hash_all(std::iter::from_fn(|| {
                while let Some(end) = ends.get(&index) {
                    index = *end;
                }
                index += 1;
                tokens.get(index - 1).filter(|_| index <= to)
            }))
        });
    }
}

/// Named function that was found.
struct Named {
    name: ImmutableString,
    arity: usize,
    at: Spot,
    range: Range<usize>,
}

/// Closure that was found, or a variable that is used instead of a closure.
struct Found {
    name: ImmutableString,
    /// `true` for a variable, or the name of a function.
    is_named: bool,
    captured: Vec<ImmutableString>,
    /// Names of the declared parameters.
    own: Vec<ImmutableString>,
    at: Spot,
    range: Range<usize>,
    usage: Usage,
}

/// Use of a closure.
#[derive(Default)]
struct Usage {
    word: ImmutableString,
    event: Option<ImmutableString>,
    number: Option<INT>,
    slot: usize,
}

/// Findings of a walk through a file.
struct Gathering<'a> {
    ast: &'a AST,
    tokens: &'a Tokens,
    brackets: &'a Brackets<'a>,
    /// Parameters of each closure, the captured ones first.
    parameters: HashMap<&'a str, &'a [ImmutableString]>,
    /// Findings by the index of their first token. A closure that captures variables is visited twice: as a block, and
    /// as the constant in it.
    found: BTreeMap<usize, Found>,
    declared: Vec<Declared>,
    imports: Vec<(u64, String)>,
}

impl<'a> Gathering<'a> {
    fn new(ast: &'a AST, tokens: &'a Tokens, brackets: &'a Brackets<'a>) -> Self {
        let parameters = ast
            .iter_fn_def()
            .map(|definition| (definition.name.as_str(), &*definition.params));
        Self {
            ast,
            tokens,
            brackets,
            parameters: parameters.collect(),
            found: BTreeMap::new(),
            declared: Vec::new(),
            imports: Vec::new(),
        }
    }

    /// Finds the named functions, in the order of the text.
    fn functions(&mut self) -> Vec<Named> {
        let bodies: HashMap<_, _> = self
            .ast
            .iter_fn_def()
            .map(|definition| (spot(definition.body.start_position()), definition))
            .collect();
        let mut functions = Vec::new();
        for from in self.tokens.all(Shape::Fn) {
            let Some((range, body)) = self.brackets.function(from) else {
                continue;
            };
            let body = self.tokens.get(body).map(|token| token.spot);
            let Some(definition) = body.and_then(|body| bodies.get(&body)) else {
                continue;
            };
            for parameter in &definition.params {
                self.declared.push(Declared {
                    name: tokens::name(parameter),
                    at: from,
                    in_loop: false,
                });
            }
            functions.push(Named {
                name: definition.name.clone(),
                arity: definition.params.len(),
                at: self
                    .tokens
                    .get(from)
                    .map(|token| token.spot)
                    .unwrap_or_default(),
                range,
            });
        }
        functions
    }

    fn node(&mut self, nodes: &[ASTNode<'_>]) {
        match nodes {
            [around @ .., ASTNode::Expr(expression)] => {
                if let Some(closure) = closure(expression) {
                    self.closure(&closure, around.last());
                } else if let Expr::Variable(variable, _, position) = expression {
                    self.named(&variable.1, *position, around.last());
                }
            }
            [around @ .., ASTNode::Stmt(statement)] => {
                let mut around = around.iter();
                let in_loop = around.any(|node| {
                    matches!(
                        node,
                        ASTNode::Stmt(Stmt::While(..) | Stmt::Do(..) | Stmt::For(..))
                    )
                });
                self.statement(statement, in_loop);
            }
            _ => {}
        }
    }

    fn statement(&mut self, statement: &Stmt, in_loop: bool) {
        match statement {
            Stmt::Var(variable, ..) => self.declare(&variable.0, in_loop),
            // All iterations of the loop share one variable.
            Stmt::For(parts, _) => {
                self.declare(&parts.0, true);
                if let Some(counter) = &parts.1 {
                    self.declare(counter, true);
                }
            }
            Stmt::TryCatch(parts, _) => {
                if let Expr::Variable(variable, _, position) = &parts.expr {
                    self.declare_at(&variable.1, *position, in_loop);
                }
            }
            Stmt::Import(import, _) => {
                if let Expr::StringConstant(path, _) = &import.0 {
                    let alias = tokens::name(&import.1.name);
                    self.imports.push((alias, format!("{path}.rhai")));
                }
            }
            _ => {}
        }
    }

    fn declare(&mut self, name: &rhai::Ident, in_loop: bool) {
        self.declare_at(&name.name, name.pos, in_loop);
    }

    fn declare_at(&mut self, name: &str, position: Position, in_loop: bool) {
        if let Some(at) = self.tokens.at(spot(position)) {
            self.declared.push(Declared {
                name: tokens::name(name),
                at,
                in_loop,
            });
        }
    }

    fn closure(&mut self, closure: &Closure<'_>, around: Option<&ASTNode<'_>>) {
        let at = spot(closure.position);
        let Some(range) = self.brackets.closure(at) else {
            return;
        };
        let parameters = self.parameters.get(closure.name.as_str()).copied();
        let captured = closure
            .captured
            .iter()
            .filter_map(|captured| match captured {
                Expr::Variable(variable, ..) => Some(variable.1.clone()),
                _ => None,
            });
        let own = parameters.and_then(|all| all.get(closure.captured.len()..));
        self.found.entry(range.start).or_insert_with(|| Found {
            name: closure.name.as_str().into(),
            is_named: false,
            captured: captured.collect(),
            own: own.unwrap_or_default().to_vec(),
            at,
            range,
            usage: around.map_or_else(Usage::default, |around| usage(around, closure.position)),
        });
    }

    /// Records a name that is an argument of a call.
    fn named(&mut self, name: &ImmutableString, position: Position, around: Option<&ASTNode<'_>>) {
        let call = match around {
            Some(ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _)))
            | Some(ASTNode::Stmt(Stmt::FnCall(call, _))) => call,
            _ => return,
        };
        let at = spot(position);
        let Some(index) = self.tokens.at(at) else {
            return;
        };
        let is_it = |argument: &Expr| argument.position() == position;
        self.found.entry(index).or_insert_with(|| Found {
            name: name.clone(),
            is_named: true,
            captured: Vec::new(),
            own: Vec::new(),
            at,
            range: index..index + 1,
            usage: of_call(call, is_it),
        });
    }

    /// Finds the variables and constants of the top level, with their statements.
    fn globals(&self) -> Vec<(u64, Range<usize>)> {
        let variables = self.ast.statements().iter().filter_map(|s| match s {
            Stmt::Var(variable, ..) => Some(&variable.0),
            _ => None,
        });
        let statement = |variable: &rhai::Ident| {
            let at = self.tokens.at(spot(variable.pos))?;
            let end = self.brackets.end(at, &[Shape::Semicolon]);
            Some((tokens::name(&variable.name), at..end))
        };
        variables.filter_map(statement).collect()
    }
}

/// Returns the use of a closure that is a direct part of `around`.
fn usage(around: &ASTNode<'_>, position: Position) -> Usage {
    let is_it = |expression: &Expr| closure(expression).is_some_and(|c| c.position == position);
    let of = |word: String| Usage {
        word: word.into(),
        ..Usage::default()
    };
    match around {
        ASTNode::Expr(Expr::FnCall(call, _) | Expr::MethodCall(call, _))
        | ASTNode::Stmt(Stmt::FnCall(call, _)) => of_call(call, is_it),
        ASTNode::Stmt(Stmt::Var(variable, ..)) => of(format!("let {}", variable.0.name)),
        ASTNode::Stmt(Stmt::Return(..)) => of("return".to_owned()),
        ASTNode::Stmt(Stmt::Assignment(assignment)) => match &assignment.1.lhs {
            Expr::Variable(variable, ..) => of(format!("{} =", variable.1)),
            _ => of("=".to_owned()),
        },
        ASTNode::Expr(Expr::Map(map, _)) => {
            let key = map.0.iter().find(|(_, value)| is_it(value));
            of(key.map_or_else(String::new, |(key, _)| format!("key {}", key.name)))
        }
        ASTNode::Expr(Expr::Array(elements, _)) => Usage {
            slot: elements.iter().position(is_it).unwrap_or_default(),
            ..of("[]".to_owned())
        },
        _ => Usage::default(),
    }
}

fn of_call(call: &FnCallExpr, is_it: impl Fn(&Expr) -> bool) -> Usage {
    let mut arguments = call.args.iter();
    let word = match call.namespace.path.first() {
        Some(root) => format!("{}::{}", root.name, call.name).into(),
        None => call.name.as_str().into(),
    };
    Usage {
        word,
        slot: arguments.clone().position(is_it).unwrap_or_default(),
        event: arguments.clone().find_map(|argument| match argument {
            Expr::StringConstant(text, _) => Some(text.clone()),
            _ => None,
        }),
        number: arguments.find_map(|argument| match argument {
            Expr::IntegerConstant(number, _) => Some(*number),
            _ => None,
        }),
    }
}

/// Returns a hash that identifies the use of a closure: its word and its event.
pub(super) fn site(row: &Row) -> u64 {
    hash(&(row.word.as_str(), row.event.as_deref()))
}

#[cfg(test)]
pub(super) mod tests;
