//! What is valid, and means something else than it seems: results that are nothing, copies that are changed, shared keys
//! that two calls change at once, divisions that lose their rest.

use std::any::TypeId;

use rhai::{ASTNode, Expr, FnCallExpr, ImmutableString, Map, OpAssignment, Position, Stmt};

use super::{Check, Type, closure, names::shown};
use crate::diagnostic::Diagnostic;

/// Functions that change a value in place and return nothing, whatever they are called on, and what is written instead.
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
    ("chop", "`slice` returns the end of an array"),
];

impl Check<'_> {
    /// Notes that the value of an expression is used.
    pub(super) fn used(&mut self, expression: &Expr) {
        let mut last = expression;
        while let Expr::Dot(dot, ..) = last {
            last = &dot.rhs;
        }
        if let Expr::MethodCall(call, position) = last {
            self.nothing(call, *position);
        }
    }

    /// Notes that the result of a method is used.
    pub(super) fn nothing(&mut self, call: &FnCallExpr, position: Position) {
        let name = call.name.as_str();
        let known = NOTHING.iter().find(|(word, _)| *word == name);
        if let Some((_, hint)) = known.filter(|_| !self.functions.contains_key(name)) {
            let warning = Diagnostic::warning(format!(
                "`{name}` changes the value that it is called on, and returns nothing"
            ));
            self.report(warning.hint(*hint), position, name);
        }
    }

    /// `5 / 2`: a division of whole numbers with a rest.
    pub(super) fn division(&mut self, call: &FnCallExpr, position: Position) {
        let is_division = call.op_token.is_some() && call.name == "/";
        if let [Expr::IntegerConstant(a, _), Expr::IntegerConstant(b, _)] = &*call.args
            && is_division
            && *b != 0
            && a % b != 0
        {
            let message = format!(
                "`{a} / {b}` is {}: whole numbers are divided without a rest",
                a / b
            );
            let hint = format!("`{a}.0 / {b}` is a number with a fraction");
            self.report(Diagnostic::warning(message).hint(hint), position, "/");
        }
    }

    /// `changed.len > 0`: a map has no property `len`, and nothing is not above 0.
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
            if property.2 == "len" && is_map {
                let on = shown(&dot.lhs);
                let warning = Diagnostic::warning(format!("`{on}.len` is `()` if `{on}` is a map"));
                let hint = format!("`{on}.len()` is the length of arrays, texts and maps");
                self.report(warning.hint(hint), *position, "len");
            }
        }
    }

    /// `io.data.count += 1`, `io.data.users[id] = name`: reads a shared key, and writes it back. A call of another client may
    /// have changed it meanwhile.
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

    /// `for n in list { n.read = true; }`: changes a copy, and nothing sees it.
    pub(super) fn changed_copy(&mut self, name: &ImmutableString, over: &Expr, body: &[Stmt]) {
        let mut changes: Vec<Position> = Vec::new();
        let mut uses: Vec<Position> = Vec::new();
        for statement in body {
            statement.walk(&mut Vec::new(), &mut |nodes| {
                match nodes {
                    [.., ASTNode::Stmt(Stmt::Assignment(assignment))] => {
                        if let Some(position) = place_in(&assignment.1.lhs, name) {
                            changes.push(position);
                        }
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
        let Some(first) = changes.first().copied() else {
            return;
        };
        let is_seen = |at: &Position| *at > first && !changes.contains(at);
        // What captures the copy may use it whenever it is called.
        let captures = body.iter().any(holds_closure);
        if captures || uses.iter().any(is_seen) {
            return;
        }
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

    /// A loop over these elements has copies: elements that are handles stand for the same thing as before.
    pub(super) fn is_copy(&self, element: Type) -> bool {
        !self.is_handle(element)
    }
}

/// Key of shared data that a script changes.
struct SharedKey {
    name: String,
    /// Something in its value is changed.
    is_deeper: bool,
    /// The change, for a variable with the name of the key.
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

/// Returns the place of a variable that a part of is assigned; `socket.data` is no part of a socket.
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

fn holds_closure(statement: &Stmt) -> bool {
    let mut found = false;
    statement.walk(&mut Vec::new(), &mut |nodes| {
        if let Some(ASTNode::Expr(expression)) = nodes.last() {
            found |= closure(expression).is_some();
        }
        !found
    });
    found
}
