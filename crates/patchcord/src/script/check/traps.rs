//! Valid code that does not do what it seems to do: methods that return nothing, shared keys that two calls change at
//! the same time, divisions that lose their remainder.

use std::any::TypeId;

use rhai::{Expr, FnCallExpr, Map, OpAssignment, Position, Stmt};

use super::{Check, closure, names::shown};
use crate::diagnostic::Diagnostic;

/// Functions that change a value in place and return nothing, on every type, each with a hint about the alternative.
const NOTHING: &[(&str, &str)] = &[
    ("sort", "`sorted` returns a sorted copy"),
    ("sort_by", "`sorted` returns a sorted copy"),
    ("sort_desc", "`order_desc` returns a sorted copy"),
    ("reverse", "`reversed` returns a reversed copy"),
    (
        "dedup",
        "`unique` returns a copy without what is there twice",
    ),
    (
        "push",
        "call it in a statement of its own, and use the array then",
    ),
    (
        "insert",
        "call it in a statement of its own, and use the array then",
    ),
    (
        "append",
        "call it in a statement of its own, and use the value then",
    ),
    (
        "mixin",
        "call it in a statement of its own, and use the map then",
    ),
    ("chop", "`slice` returns the end of an array"),
];

/// Returns `true` if a method changes its receiver and returns nothing, on every type.
pub(super) fn returns_nothing(method: &str) -> bool {
    NOTHING.iter().any(|(word, _)| *word == method)
}

impl Check<'_> {
    /// Checks an expression whose value is used: its last method must return something.
    pub(super) fn used(&mut self, expression: &Expr) {
        let mut last = expression;
        while let Expr::Dot(dot, ..) = last {
            last = &dot.rhs;
        }
        if let Expr::MethodCall(call, position) = last {
            self.nothing(call, *position);
        }
    }

    /// Reports a method whose result is used although it returns nothing.
    pub(super) fn nothing(&mut self, call: &FnCallExpr, position: Position) {
        let name = call.name.as_str();
        let known = NOTHING.iter().find(|(word, _)| *word == name);
        let is_own = || self.functions.contains_key(name) || self.is_written(name);
        if let Some((_, hint)) = known.filter(|_| !is_own()) {
            let warning = Diagnostic::warning(format!(
                "`{name}` changes the value that it is called on, and returns nothing"
            ));
            self.report(warning.hint(*hint), position, name);
        }
    }

    /// Reports a division of integers that loses its remainder: `5 / 2`.
    pub(super) fn division(&mut self, call: &FnCallExpr, position: Position) {
        let is_division = call.op_token.is_some() && call.name == "/";
        if let [Expr::IntegerConstant(a, _), Expr::IntegerConstant(b, _)] = &*call.args
            && is_division
            && *b != 0
            && a % b != 0
        {
            let message = format!(
                "`{a} / {b}` is {}: integers are divided without a remainder",
                a / b
            );
            let hint = format!("`{a}.0 / {b}` is a number with a fraction");
            self.report(Diagnostic::warning(message).hint(hint), position, "/");
        }
    }

    /// Reports a comparison with a property `len`: `changed.len > 0`. A map has no such property, and `()` is not
    /// greater than 0.
    pub(super) fn compared_len(&mut self, call: &FnCallExpr) {
        let is_comparison = matches!(call.name.as_str(), "<" | "<=" | ">" | ">=" | "==" | "!=");
        for operand in call
            .args
            .iter()
            .filter(|_| is_comparison && call.op_token.is_some())
        {
            let Expr::Dot(dot, ..) = operand else {
                continue;
            };
            let Expr::Property(property, position) = &dot.rhs else {
                continue;
            };
            let of = match &dot.lhs {
                Expr::Variable(variable, ..) => self.find(&variable.1).flatten(),
                _ => None,
            };
            let is_map = of.is_none_or(|id| id == TypeId::of::<Map>());
            let name = property.2.as_str();
            if (name == "len" || name == "length") && is_map {
                let on = shown(&dot.lhs);
                let warning =
                    Diagnostic::warning(format!("`{on}.{name}` is `()` if `{on}` is a map"));
                let hint = format!("`{on}.len()` is the length of arrays, strings and maps");
                self.report(warning.hint(hint), *position, name);
            }
        }
    }

    /// Reports `if valid(...)`: the result is `()` or a string, not a boolean.
    pub(super) fn validity(&mut self, condition: &Expr) {
        if let Expr::FnCall(call, position) = condition
            && call.name == "valid"
            && call.args.len() == 2
            && !self.functions.contains_key("valid")
        {
            let warning =
                Diagnostic::warning("`valid` returns `()` or a string, and not a boolean");
            let hint = "`if valid(value, shape) != ()` is true for what is wrong";
            self.report(warning.hint(hint), *position, "valid");
        }
    }

    /// Reports `valid(...);`: nothing uses the result.
    pub(super) fn lost_validity(&mut self, statement: &Stmt) {
        let (call, position) = match statement {
            Stmt::FnCall(call, position) => (call, position),
            Stmt::Expr(expression) => match &**expression {
                Expr::FnCall(call, position) => (call, position),
                _ => return,
            },
            _ => return,
        };
        if call.name == "valid" && call.args.len() == 2 && !self.functions.contains_key("valid") {
            let warning = Diagnostic::warning("`valid` returns what is wrong, and nothing uses it");
            let hint = "`let wrong = valid(value, shape); if wrong != () { return wrong; }`";
            self.report(warning.hint(hint), *position, "valid");
        }
    }

    /// Reports `!valid(...)` and `valid(...) == false`.
    pub(super) fn validity_in(&mut self, call: &FnCallExpr) {
        let is_boolean = |argument: &Expr| matches!(argument, Expr::BoolConstant(..));
        let is_compared =
            matches!(call.name.as_str(), "==" | "!=") && call.args.iter().any(is_boolean);
        if call.op_token.is_some() && (call.name == "!" || is_compared) {
            call.args
                .iter()
                .for_each(|argument| self.validity(argument));
        }
    }

    /// Reports `list.for_each(|x| ...)`: the closure receives the index, and the element is `this`.
    pub(super) fn each_place(&mut self, call: &FnCallExpr, position: Position) {
        let [argument] = &call.args[..] else { return };
        let Some(found) = closure(argument).filter(|_| call.name == "for_each") else {
            return;
        };
        let all = self.functions.get(found.name.as_str());
        let Some(function) = all.and_then(|all| all.first()) else {
            return;
        };
        let own = function.definition.params.get(found.captured.len());
        let Some(name) = own.filter(|_| !function.mentions_this()).cloned() else {
            return;
        };
        let warning = Diagnostic::warning(format!(
            "`{name}` is the place of the element; in `for_each` the element is `this`"
        ));
        let hint = format!("`for {name} in list {{ ... }}` goes through the elements");
        self.report(warning.hint(hint), position, "for_each");
    }

    /// Reports the value of a `catch` block, such as `catch (e) { #{ error: e } }`: only a `try` block has a value.
    pub(super) fn lost_value(&mut self, statements: &[Stmt]) {
        let Some(Stmt::Expr(value)) = statements.last() else {
            return;
        };
        let is_value = matches!(
            **value,
            Expr::Map(..)
                | Expr::Array(..)
                | Expr::Variable(..)
                | Expr::InterpolatedString(..)
                | Expr::StringConstant(..)
                | Expr::IntegerConstant(..)
                | Expr::BoolConstant(..)
        );
        if is_value {
            let warning = Diagnostic::warning("the value of a `catch` block is lost");
            let hint = "`return` returns it from the function";
            self.report(warning.hint(hint), value.start_position(), "");
        }
    }

    /// Reports `io.data.count += 1` and `io.data.users[id] = name`: both read a shared key and write it back. A call of
    /// another client may change the key in between.
    pub(super) fn shared_write(&mut self, target: &Expr, operation: &OpAssignment) {
        let shared = self.known.vocabulary.shared;
        let Some(key) = shared_key(target, shared) else {
            return;
        };
        let sign = operation
            .get_op_assignment_info()
            .map_or("=", |(_, _, _, sign, ..)| sign);
        if sign == "=" && !key.is_deeper {
            return;
        }
        let whole = shown(target);
        let warning = Diagnostic::warning(format!(
            "`{whole} {sign} ...` fails when another client changes `{}` at the same time",
            key.name
        ));
        let name = &key.name;
        let amount = match sign {
            "+=" => Some("by"),
            "-=" => Some("-by"),
            _ => None,
        };
        let (default, change) = match key.is_deeper {
            true => ("#{}", &key.change),
            false => ("0", name),
        };
        let hint = match amount.filter(|_| !key.is_deeper) {
            Some(by) => format!("write `{shared}.incr(\"{name}\", {by})`, which cannot fail"),
            None => format!(
                "write `{shared}.update(\"{name}\", {default}, |{name}| {{ {change} {sign} ...; {name} }})`, which tries again"
            ),
        };
        self.report(warning.hint(hint), target.start_position(), "io");
    }
}

/// Key of shared data that a script changes.
struct SharedKey {
    name: String,
    /// `true` if the script changes a part of the value, and not the whole value.
    is_deeper: bool,
    /// Target of the change, for the hint. In the target, a variable with the name of the key replaces the value.
    change: String,
}

/// Returns the key of shared data that is the target of an assignment.
fn shared_key(target: &Expr, shared: &str) -> Option<SharedKey> {
    let (root, property) = shared.split_once('.')?;
    let Expr::Dot(first, ..) = target else {
        return None;
    };
    let Expr::Variable(variable, ..) = &first.lhs else {
        return None;
    };
    let Expr::Dot(second, ..) = &first.rhs else {
        return None;
    };
    let Expr::Property(found, _) = &second.lhs else {
        return None;
    };
    if variable.1 != root || found.2 != property {
        return None;
    }
    let (key, rest) = match &second.rhs {
        Expr::Property(key, _) => (key, None),
        Expr::Dot(deeper, ..) => match &deeper.lhs {
            Expr::Property(key, _) => (key, Some(format!(".{}", shown(&deeper.rhs)))),
            _ => return None,
        },
        Expr::Index(deeper, ..) => match &deeper.lhs {
            Expr::Property(key, _) => (key, Some(format!("[{}]", shown(&deeper.rhs)))),
            _ => return None,
        },
        _ => return None,
    };
    let name = key.2.to_string();
    Some(SharedKey {
        change: format!("{name}{}", rest.as_deref().unwrap_or_default()),
        is_deeper: rest.is_some(),
        name,
    })
}
