//! Calls: the function must exist, and accept the number and the types of the arguments.

use std::any::TypeId;

use rhai::{Expr, FnCallExpr, FnPtr, Position};

use super::{Check, Type, expressions::closure, takes};
use crate::{
    diagnostic::{Diagnostic, javascript},
    script::{
        shape_problem,
        symbols::{SymbolTable, nearest},
    },
};

impl Check<'_> {
    /// Checks `name(...)` and `module::name(...)`.
    pub(super) fn function_call(&mut self, call: &FnCallExpr, position: Position) -> Type {
        let name = call.name.as_str();
        if call.op_token.is_some()
            || !rhai::is_valid_identifier(name)
            || SymbolTable::is_keyword(name)
        {
            self.values(&call.args);
            self.division(call, position);
            self.compared_len(call);
            self.validity_in(call);
            self.compared_type(call);
            return None;
        }
        if call.capture_parent_scope {
            self.scope
                .iter_mut()
                .for_each(|variable| variable.used = true);
        }
        if let Some(root) = call.namespace.path.first() {
            let is_word = !self.aliases.contains_key(root.name.as_str());
            let types = self.given(None, call, is_word);
            if self.namespace(&call.namespace, &root.name) && call.namespace.path.len() == 1 {
                return self.qualified_call(&root.name, call, position, &types);
            }
            return None;
        }
        self.shape(call);
        if !self.functions.contains_key(name) {
            self.argument(name, call, position);
        }
        let types = self.given(None, call, !self.functions.contains_key(name));
        let known = self.known;
        let own = self.functions.get(name).into_iter().flatten();
        let own_counts: Vec<_> = own
            .map(|function| function.definition.params.len())
            .collect();
        let native = known.named("", name);
        if own_counts.contains(&call.args.len()) {
            return None;
        }
        let fitting = native.iter().filter(|f| f.count() == call.args.len());
        let fitting: Vec<_> = fitting.collect();
        match (own_counts.is_empty(), fitting.split_first()) {
            (_, Some((first, others))) => {
                if !self.receiver_of(call, position, &types) {
                    self.takes_types(&fitting, (name, position), (&types, false));
                }
                let agree = others
                    .iter()
                    .all(|other| other.returns() == first.returns());
                return first.returns().filter(|_| agree);
            }
            (true, None) if native.is_empty() => self.unknown_function(name, position),
            (true, None) if known.is_method_only(name) => self.without_owner(name, position),
            (true, None) => {
                let counts = native.iter().map(super::super::symbols::Signature::count);
                self.wrong_count(name, counts, call, position);
            }
            (false, None) => self.wrong_count(name, own_counts.into_iter(), call, position),
        }
        None
    }

    /// Reports a first or second argument that cannot work, such as the pattern of `re("[a-z")`.
    fn argument(&mut self, function: &str, call: &FnCallExpr, position: Position) {
        let first = call.args.first();
        let literal = first.and_then(|first| match first {
            Expr::StringConstant(text, _) => Some(text.as_str()),
            Expr::InterpolatedString(parts, _) => match parts.first() {
                Some(Expr::StringConstant(text, _)) => Some(text.as_str()),
                _ => None,
            },
            _ => None,
        });
        if let Some(problem) = self.known.argument_problem(function, literal) {
            let at = first.map_or(position, Expr::start_position);
            self.report(problem, at, "");
        }
        if let Some(Expr::StringConstant(text, position)) = call.args.get(1)
            && let Some(problem) = self.known.second_argument_problem(function, text)
        {
            self.report(problem, *position, "");
        }
    }

    /// Reports an invalid shape, such as `valid(value, #{ title: "strin" })`, and a shape that is passed as the first
    /// argument instead of the second.
    fn shape(&mut self, call: &FnCallExpr) {
        let [_, shape] = &call.args[..] else { return };
        if call.name != "valid" || self.functions.contains_key("valid") {
            return;
        }
        let literal = shape.get_literal_value(None);
        if let Some(problem) = literal.and_then(|shape| shape_problem(&shape)) {
            self.report(Diagnostic::error(problem), shape.start_position(), "");
        }
        if let [Expr::StringConstant(text, position), Expr::Variable(..)] = &call.args[..] {
            let warning = Diagnostic::warning("the shape is the second argument of `valid`");
            let hint =
                format!("`valid(value, \"{text}\")`; here the client would choose the shape");
            self.report(warning.hint(hint), *position, "");
        }
    }

    /// Reports a function that belongs to a handle but is called without one: `emit("hello")`. Returns `true` if it has
    /// reported a problem.
    fn receiver_of(&mut self, call: &FnCallExpr, position: Position, types: &[Type]) -> bool {
        let name = call.name.as_str();
        let is_without = types.first().copied().flatten().is_some_and(|first| {
            let fits = self.known.methods(first, name).next().is_some();
            let is_handle = !self.known.owners(name).is_empty();
            !fits && is_handle && !self.known.is_closed(first) && self.known.is_method_only(name)
        });
        if is_without {
            self.without_owner(name, position);
        }
        is_without
    }

    fn without_owner(&mut self, name: &str, position: Position) {
        let error = Diagnostic::error(format!("unknown function `{name}`"));
        let error = self.with_owner(error, name);
        self.report(error, position, name);
    }

    pub(super) fn with_owner(&self, error: Diagnostic, name: &str) -> Diagnostic {
        match self.known.owners(name).as_slice() {
            [] => error,
            owners => {
                let calls: Vec<_> = owners
                    .iter()
                    .map(|owner| format!("`{owner}.{name}(...)`"))
                    .collect();
                error.hint(format!("it is called as {}", calls.join(" or ")))
            }
        }
    }

    fn unknown_function(&mut self, name: &str, position: Position) {
        let mut error = Diagnostic::error(format!("unknown function `{name}`"));
        let own = nearest(name, self.functions.keys().copied());
        let near = own.or_else(|| nearest(name, self.known.names("")));
        if self.find(name).is_some() {
            error = error.hint(format!(
                "a closure in a variable is called as `{name}.call(...)`"
            ));
        } else if let Some(hint) = javascript::of_global(name) {
            error = error.hint(hint);
        } else if let Some(near) = near {
            error = match self.known.is_method_only(near) && !self.functions.contains_key(near) {
                true => self.with_owner(error.hint(format!("there is `{near}`")), near),
                false => error.hint(format!("there is a function `{near}`")),
            };
        }
        self.report(error, position, name);
    }

    fn wrong_count(
        &mut self,
        name: &str,
        counts: impl Iterator<Item = usize>,
        call: &FnCallExpr,
        position: Position,
    ) {
        let (takes, found) = (takes(counts, call.args.len()), call.args.len());
        let found = match found {
            0 => "none".to_owned(),
            found => found.to_string(),
        };
        let error = Diagnostic::error(format!("function `{name}` takes {takes}, found {found}"));
        self.report(error, position, &call.name);
    }

    fn qualified_call(
        &mut self,
        root: &str,
        call: &FnCallExpr,
        position: Position,
        types: &[Type],
    ) -> Type {
        let name = call.name.as_str();
        let shown = format!("{root}::{name}");
        let alias = self.aliases.get(root);
        let (names, counts): (Vec<&str>, Vec<usize>) = match alias {
            Some(alias) => {
                let path = alias.path.as_ref();
                let exports = path.and_then(|path| self.file.modules.get(path))?;
                let counts = exports.get(name).cloned().unwrap_or_default();
                (exports.keys().map(String::as_str).collect(), counts)
            }
            None => {
                let known = self.known;
                let native = known.named(root, name);
                let fitting = native.iter().filter(|f| f.count() == call.args.len());
                let fitting: Vec<_> = fitting.collect();
                if let Some((first, others)) = fitting.split_first() {
                    self.argument(&shown, call, position);
                    self.takes_types(&fitting, (&shown, position), (types, false));
                    let agree = others.iter().all(|f| f.returns() == first.returns());
                    return first.returns().filter(|_| agree);
                }
                let counts = native.iter().map(|f| f.count());
                (known.names(root).collect(), counts.collect())
            }
        };
        if counts.contains(&call.args.len()) {
            return None;
        }
        if counts.is_empty() {
            let mut error = Diagnostic::error(format!("unknown function `{shown}`"));
            if let Some(near) = nearest(name, names) {
                error = error.hint(format!("`{root}` has a function `{near}`"));
            }
            self.report(error, position, name);
        } else {
            self.wrong_count(&shown, counts.into_iter(), call, position);
        }
        None
    }

    /// Checks `receiver.name(...)`.
    pub(super) fn method_call(
        &mut self,
        receiver: Type,
        on: &str,
        call: &FnCallExpr,
        position: Position,
    ) -> Type {
        let name = call.name.as_str();
        self.taken_method(on, call, position);
        let Some(id) = receiver.filter(|id| self.known.is_closed(*id)) else {
            self.values(&call.args);
            self.plain_call(receiver, on, name, position);
            self.each_place(call, position);
            return None;
        };
        let types = self.given(receiver, call, true);
        let count = call.args.len() + 1;
        let known = self.known;
        let own = self.functions.get(name).into_iter().flatten();
        let bound = own
            .into_iter()
            .any(|function| function.definition.params.len() == call.args.len());
        if bound || SymbolTable::is_keyword(name) {
            return None;
        }
        let counts: Vec<_> = known.methods(id, name).map(|f| f.count()).collect();
        let before = known.sends(name).filter(|_| !counts.is_empty());
        if let Some(before) = before {
            self.payload(name, &call.args, &types, before, position);
        }
        if counts.is_empty() {
            let error = Diagnostic::error(format!("unknown function `{name}` on `{on}`"));
            let error = self.with_member(error, id, on, name);
            self.report(error, position, name);
        } else if !counts.contains(&count) && (before.is_none() || call.args.is_empty()) {
            let counts = counts.into_iter().map(|count| count - 1);
            self.wrong_count(name, counts, call, position);
        } else {
            let fitting = known.methods(id, name).filter(|f| f.count() == count);
            let fitting: Vec<_> = fitting.collect();
            let types: Vec<_> = std::iter::once(Some(id)).chain(types).collect();
            self.takes_types(&fitting, (name, position), (&types, true));
        }
        known.returns(id, name, count)
    }

    /// Reports arguments that cannot be sent: too many values, closures except as the last argument, handles,
    /// characters as event names, and reserved events of the protocol. The first `before` arguments are not values.
    fn payload(
        &mut self,
        word: &str,
        args: &[Expr],
        types: &[Type],
        before: usize,
        position: Position,
    ) {
        let vocabulary = &self.known.vocabulary;
        let answer = usize::from(args.last().is_some_and(|last| closure(last).is_some()));
        let count = args.len().saturating_sub(before + answer);
        let is_spread = |argument: &Expr| matches!(argument, Expr::FnCall(call, _) if call.name == vocabulary.spread);
        if count > vocabulary.most_sent && !args.iter().any(is_spread) {
            let most = vocabulary.most_sent;
            let message = format!("`{word}` sends up to {most} values, found {count}");
            let error =
                Diagnostic::error(message).hint("an array or a map holds any number of values");
            self.report(error, position, word);
        }
        if let Some(Expr::StringConstant(event, position)) = args.first()
            && self.known.vocabulary.reserved.contains(&event.as_str())
        {
            let message = format!("`{event}` is a reserved event name and cannot be sent");
            self.report(Diagnostic::error(message), *position, event);
        }
        if let Some(Expr::CharConstant(event, position)) = args.get(..before).and_then(|a| a.last())
        {
            let error = Diagnostic::error(format!("`'{event}'` is a character, and no event"));
            let hint = format!("a string is written in double quotes: `\"{event}\"`");
            self.report(error.hint(hint), *position, "");
        }
        let last = args.len().saturating_sub(1);
        for (place, (argument, type_of)) in args.iter().zip(types).enumerate() {
            if let Some(inside) = closure_inside(argument, place == last) {
                let error = Diagnostic::error("a closure cannot be sent").hint(format!(
                    "a closure as the last argument of `{word}` gets the answer"
                ));
                self.report(error, inside, "|");
            } else if self.is_handle(*type_of) {
                let shown = super::names::shown(argument);
                let error = Diagnostic::error(format!("`{shown}` is a handle and cannot be sent"))
                    .hint("the id of a socket is a string that can");
                self.report(error, argument.start_position(), &shown);
            }
        }
    }

    fn values(&mut self, args: &[Expr]) {
        for argument in args {
            self.expression(argument);
            self.used(argument);
        }
    }

    /// Checks the arguments of a call, and returns their types. A function of the API (`is_word`) may declare the
    /// parameters of its closure.
    fn given(&mut self, receiver: Type, call: &FnCallExpr, is_word: bool) -> Vec<Type> {
        let args = &call.args;
        let word = match call.namespace.path.first() {
            Some(root) => format!("{}::{}", root.name, call.name),
            None => call.name.to_string(),
        };
        let word = word.as_str();
        let first = args.first().and_then(|argument| match argument {
            Expr::StringConstant(text, _) => Some(text.as_str()),
            _ => None,
        });
        let callback = self
            .known
            .callback(receiver, word, first)
            .filter(|_| is_word);
        let mut types = Vec::with_capacity(args.len());
        for argument in args {
            types.push(match (closure(argument), callback) {
                (Some(found), Some(callback)) => {
                    let what = match callback.argument {
                        Some(argument) => format!("a `{argument}` listener"),
                        None => format!("the closure of `{word}`"),
                    };
                    self.closure(&found, Some((&what, callback.parameters)));
                    if word == "update" {
                        self.update_without_value(&found);
                    }
                    Some(TypeId::of::<FnPtr>())
                }
                _ => {
                    self.used(argument);
                    self.expression(argument)
                }
            });
        }
        types
    }
}

/// Returns the position of a closure that would be sent. Only the last argument may be a closure; an element of an
/// array or a map may not.
fn closure_inside(argument: &Expr, is_last: bool) -> Option<Position> {
    match argument {
        Expr::Array(elements, _) => elements.iter().find_map(|e| closure_inside(e, false)),
        Expr::Map(map, _) => map.0.iter().find_map(|(_, e)| closure_inside(e, false)),
        other if !is_last => closure(other).map(|closure| closure.position),
        _ => None,
    }
}
