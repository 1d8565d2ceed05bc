//! Changes to copies, which have no effect, methods that are hidden by functions of the file, and variables that all
//! iterations of a loop share.

use rhai::{ASTNode, Expr, FnCallExpr, ImmutableString, Position, Stmt};

use super::{
    Check, Type, any_node,
    expressions::{Closure, closure},
    names::shown,
    traps::returns_nothing,
};
use crate::diagnostic::Diagnostic;

/// Methods that change a string in place and also return it.
const CHANGES_TEXT: &[&str] = &[
    "replace",
    "trim",
    "truncate",
    "crop",
    "make_upper",
    "make_lower",
    "pad",
];

/// Methods that return a copy of a value that is stored elsewhere.
const COPIES: &[&str] = &[
    "get", "values", "slice", "sorted", "reversed", "to_map", "to_array", "filter", "map",
];

impl Check<'_> {
    /// Reports `for n in list { n.read = true; }`: it changes a copy, which has no effect.
    pub(super) fn changed_copy(&mut self, name: &ImmutableString, over: &Expr, body: &[Stmt]) {
        let Some(first) = only_changed(name, body) else {
            return;
        };
        let list = shown(over);
        let warning = Diagnostic::warning(format!(
            "`{name}` is a copy of the element: nothing sees this change"
        ));
        let hint = match over {
            Expr::Variable(..) => format!(
                "`{list} = {list}.map(|{name}| {{ ...; {name} }})` makes an array of changed elements"
            ),
            _ => "`list[place]` changes an element of an array".to_owned(),
        };
        self.report(warning.hint(hint), first, name);
    }

    /// Returns `true` if a loop over these elements yields copies. An element that is a handle still refers to the same
    /// object.
    pub(super) fn is_copy(&self, element: Type) -> bool {
        !self.is_handle(element)
    }

    /// Reports `io.data.get("list", []).push(x);`: the array is a copy that is not stored.
    pub(super) fn changed_result(&mut self, statement: &Stmt) {
        let Stmt::Expr(expression) = statement else {
            return;
        };
        let mut before = &**expression;
        let mut last = before;
        while let Expr::Dot(dot, ..) = last {
            before = &dot.lhs;
            last = &dot.rhs;
        }
        let (Expr::MethodCall(copy, _), Expr::MethodCall(change, position)) = (before, last) else {
            return;
        };
        let is_own = |call: &FnCallExpr| self.functions.contains_key(call.name.as_str());
        let is_trap = COPIES.contains(&copy.name.as_str())
            && changes(&change.name)
            && !is_own(copy)
            && !is_own(change);
        if is_trap {
            let (copy, change) = (&copy.name, &change.name);
            let warning = Diagnostic::warning(format!(
                "`{copy}` returns a copy, and nothing keeps what `{change}` makes of it"
            ));
            let hint = format!(
                "`let copy = ...; copy.{change}(...);`, and then set the copy where it belongs; `io.data` has `update`"
            );
            self.report(warning.hint(hint), *position, change);
        }
    }

    /// Reports `update("list", [], |list| { list.push(x); })`: the closure returns nothing instead of the list.
    pub(super) fn update_without_value(&mut self, closure: &Closure<'_>) {
        let all = self.functions.get(closure.name.as_str());
        let Some(function) = all.and_then(|all| all.first()) else {
            return;
        };
        let is_nothing = match function.body.last() {
            Some(Stmt::Assignment(_)) => true,
            Some(Stmt::Expr(value)) => last_method(value).is_some_and(returns_nothing),
            _ => false,
        };
        if let Some(value) = function.definition.params.last().filter(|_| is_nothing) {
            let warning = Diagnostic::warning("the closure of `update` returns nothing");
            let hint = format!("it ends with the new value: `|{value}| {{ ...; {value} }}`");
            self.report(warning.hint(hint), closure.position, "|");
        }
    }

    /// Reports `let users = io.data.users; users[id] = name;`: the variable is a copy that nothing reads.
    pub(super) fn changed_variable(&mut self, statement: &Stmt, rest: &[Stmt]) {
        let Stmt::Var(variable, ..) = statement else {
            return;
        };
        let (name, value) = (&variable.0.name, &variable.1);
        let shared = self.known.vocabulary.shared;
        let of = shown(value);
        let property = shared.split_once('.').map_or("", |(_, property)| property);
        let is_copy = of.starts_with(&format!("{shared}."))
            || of.contains(&format!(".{property}."))
            || last_method(value) == Some("find");
        if !is_copy {
            return;
        }
        let Some(first) = only_changed(name, rest) else {
            return;
        };
        let warning = Diagnostic::warning(format!(
            "`{name}` is a copy of `{of}`: nothing sees this change"
        ));
        let hint = match of.strip_prefix(&format!("{shared}.")) {
            Some(_) => format!(
                "`{shared}.update(key, default, |value| {{ ...; value }})` changes what is kept"
            ),
            None => format!(
                "set `{name}` where it belongs, or change an element by its place: `list[place]`"
            ),
        };
        self.report(warning.hint(hint), first, name);
    }

    /// Reports `let clean = text.replace(...)` if `text` is read later: the method changes `text`, too.
    pub(super) fn changed_text(&mut self, statement: &Stmt, rest: &[Stmt]) {
        let Stmt::Var(variable, ..) = statement else {
            return;
        };
        let Expr::Dot(dot, ..) = &variable.1 else {
            return;
        };
        let (Expr::Variable(text, ..), Expr::MethodCall(call, position)) = (&dot.lhs, &dot.rhs)
        else {
            return;
        };
        let (name, method) = (&variable.0.name, call.name.as_str());
        let is_trap = CHANGES_TEXT.contains(&method)
            && text.1 != *name
            && !self.functions.contains_key(method)
            && any_node(
                rest,
                |node| matches!(node, ASTNode::Expr(Expr::Variable(v, ..)) if v.1 == text.1),
            );
        if is_trap {
            let text = &text.1;
            let warning = Diagnostic::warning(format!("`{method}` changes `{text}`, too"));
            let hint =
                format!("`let {name} = {text}; {name}.{method}(...);` leaves `{text}` as it is");
            self.report(warning.hint(hint), *position, method);
        }
    }

    /// Reports `tags.push(tag)` if the file has an `fn push(item)`: Rhai calls that function instead of the method.
    pub(super) fn taken_method(&mut self, on: &str, call: &FnCallExpr, position: Position) {
        let name = call.name.as_str();
        let all = self.functions.get(name).into_iter().flatten();
        let own = all
            .filter(|function| function.definition.params.len() == call.args.len())
            .find(|function| !function.mentions_this());
        let native = self.known.named("", name).iter();
        let is_native = native.clone().any(|f| f.count() == call.args.len() + 1)
            || self.known.sends(name).is_some();
        if own.is_some() && is_native {
            let warning = Diagnostic::warning(format!(
                "`{on}.{name}(...)` calls the function `{name}` of this file, and not the method"
            ));
            let hint = format!(
                "give the function another name: a function of the file comes first, and `this` is `{on}` in it"
            );
            self.report(warning.hint(hint), position, name);
        }
    }

    /// Reports `for name in list { socket.on(name, || name) }`: all iterations share the variable, so all closures see
    /// its last value.
    pub(super) fn shared_turns(&mut self, names: &[&ImmutableString], body: &[Stmt]) {
        let declares = |name: &ImmutableString| {
            any_node(
                body,
                |node| matches!(node, ASTNode::Stmt(Stmt::Var(v, ..)) if v.0.name == *name),
            )
        };
        let names: Vec<_> = names.iter().filter(|name| !declares(name)).collect();
        let mut found = None;
        for statement in body {
            statement.walk(&mut Vec::new(), &mut |nodes| {
                let Some(ASTNode::Expr(expression)) = nodes.last() else {
                    return true;
                };
                let Some(made) = closure(expression) else {
                    return true;
                };
                let captures = |name: &ImmutableString| {
                    made.captured
                        .iter()
                        .any(|captured| matches!(captured, Expr::Variable(v, ..) if v.1 == *name))
                };
                let around = nodes.len().checked_sub(2).and_then(|nth| nodes.get(nth));
                let name = names.iter().find(|name| captures(name));
                if let Some(name) = name.filter(|_| self.is_kept(around)) {
                    found = found.take().or(Some((made.position, (**name).clone())));
                }
                true
            });
        }
        if let Some((position, name)) = found {
            let warning = Diagnostic::warning(format!(
                "all turns of the loop share `{name}`: a closure that runs later sees the last value"
            ));
            let hint = format!(
                "`let {name} = {name};` at the beginning of the loop gives each turn its own"
            );
            self.report(warning.hint(hint), position, "|");
        }
    }

    /// Returns `true` if `around`, the node that contains a closure, keeps the closure for later.
    fn is_kept(&self, around: Option<&ASTNode<'_>>) -> bool {
        match around {
            Some(
                ASTNode::Expr(Expr::MethodCall(call, _) | Expr::FnCall(call, _))
                | ASTNode::Stmt(Stmt::FnCall(call, _)),
            ) => {
                let name = call.name.as_str();
                self.known.registers(name) || ["push", "insert", "set"].contains(&name)
            }
            Some(ASTNode::Stmt(Stmt::Assignment(_))) => true,
            Some(ASTNode::Expr(Expr::Array(..) | Expr::Map(..))) => true,
            _ => false,
        }
    }
}

/// Returns the last method of a chain.
fn last_method(expression: &Expr) -> Option<&str> {
    match expression {
        Expr::Dot(dot, ..) => last_method(&dot.rhs),
        Expr::MethodCall(call, _) => Some(call.name.as_str()),
        _ => None,
    }
}

/// Returns `true` if a method changes its receiver and returns nothing.
fn changes(method: &str) -> bool {
    returns_nothing(method) || ["clear", "set"].contains(&method)
}

/// Returns the position of the first change of a variable, if nothing reads the variable afterwards.
fn only_changed(name: &ImmutableString, body: &[Stmt]) -> Option<Position> {
    let mut changes: Vec<Position> = Vec::new();
    let mut uses: Vec<Position> = Vec::new();
    for statement in body {
        statement.walk(&mut Vec::new(), &mut |nodes| {
            match nodes {
                [.., ASTNode::Stmt(Stmt::Assignment(assignment))] => {
                    changes.extend(place_in(&assignment.1.lhs, name));
                }
                [.., ASTNode::Stmt(Stmt::Expr(expression))] => {
                    changes.extend(method_on(expression, name));
                }
                [.., ASTNode::Expr(Expr::Variable(variable, _, position))]
                    if variable.1 == *name =>
                {
                    uses.push(*position);
                }
                _ => {}
            }
            true
        });
    }
    let first = changes.first().copied()?;
    let is_seen = |at: &Position| *at > first && !changes.contains(at);
    // A closure may capture the copy, and read it whenever it is called.
    let captures = any_node(
        body,
        |node| matches!(node, ASTNode::Expr(expression) if closure(expression).is_some()),
    );
    (!captures && !uses.iter().any(is_seen)).then_some(first)
}

/// Returns the position of a variable, if a separate statement changes it by a method call.
fn method_on(expression: &Expr, name: &ImmutableString) -> Option<Position> {
    let Expr::Dot(dot, ..) = expression else {
        return None;
    };
    match (&dot.lhs, &dot.rhs) {
        (Expr::Variable(variable, _, position), Expr::MethodCall(call, _)) => {
            (variable.1 == *name && changes(&call.name)).then_some(*position)
        }
        _ => None,
    }
}

/// Returns the position of a variable, if an assignment changes a part of it. `socket.data` is not a part of a socket.
fn place_in(target: &Expr, name: &ImmutableString) -> Option<Position> {
    let (lhs, rhs) = match target {
        Expr::Dot(dot, ..) => (&dot.lhs, Some(&dot.rhs)),
        Expr::Index(index, ..) => (&index.lhs, None),
        _ => return None,
    };
    let is_data = |rhs: &Expr| match rhs {
        Expr::Dot(deeper, ..) => matches!(&deeper.lhs, Expr::Property(p, _) if p.2 == "data"),
        Expr::Index(deeper, ..) => matches!(&deeper.lhs, Expr::Property(p, _) if p.2 == "data"),
        _ => false,
    };
    match lhs {
        Expr::Variable(variable, _, position) if variable.1 == *name => {
            (!rhs.is_some_and(is_data)).then_some(*position)
        }
        _ => None,
    }
}
