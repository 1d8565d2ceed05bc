//! Functions and properties that values of Rhai's built-in types do not have, and unknown keys of the host's maps.

use std::any::TypeId;

use rhai::{ASTNode, Expr, Position, Stmt};

use super::{Check, Type, closure};
use crate::{
    diagnostic::{Diagnostic, javascript},
    script::symbols::{SymbolTable, is_plain, nearest},
};

impl Check<'_> {
    /// Reports a function that exists for no type at all: `list.forEach(...)`. On a value that has no keys, this is an
    /// error. On a value of unknown type, it is a warning, unless the value may be a map with a closure of that name.
    pub(super) fn plain_call(&mut self, on: Type, shown: &str, name: &str, position: Position) {
        let is_own = self.functions.contains_key(name) || SymbolTable::is_keyword(name);
        if is_own || !self.known.named("", name).is_empty() {
            return;
        }
        let error = match on {
            _ if self.is_plain(on) => {
                Diagnostic::error(format!("unknown function `{name}` on `{shown}`"))
            }
            None if self.is_there(shown) && !self.may_be_key(name) => {
                Diagnostic::warning(format!("no value has a function `{name}`"))
            }
            _ => return,
        };
        let near = || nearest(name, self.known.names(""));
        let error = match (javascript::of_value(name), near()) {
            (Some(hint), _) => error.hint(hint),
            (None, Some(near)) => error.hint(format!("there is a function `{near}`")),
            (None, None) => error,
        };
        self.report(error, position, name);
    }

    /// Reports a property that exists for no type at all: `list.length`.
    pub(super) fn plain_property(&mut self, on: Type, shown: &str, name: &str, position: Position) {
        let getter = format!("get${name}");
        if !self.is_plain(on) || !self.known.named("", &getter).is_empty() {
            return;
        }
        let error = Diagnostic::error(format!("unknown property `{name}` of `{shown}`"));
        let error = match javascript::of_value(name) {
            Some(hint) => error.hint(hint),
            None => error,
        };
        self.report(error, position, name);
    }

    /// Returns `true` if an expression begins with a known variable, or with something other than a variable.
    fn is_there(&self, shown: &str) -> bool {
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let root = shown.split(|c| !is_part(c)).next().unwrap_or_default();
        let is_declared = self.scope.iter().any(|variable| variable.name == root);
        !rhai::is_valid_identifier(root) || is_declared || self.known.is_global(root)
    }

    /// Returns `true` if a map may have a closure of this name. Other files may create it, and so may this file if it
    /// contains the name as a key or as a string.
    fn may_be_key(&self, name: &str) -> bool {
        !self.file.is_entry || !self.aliases.is_empty() || self.is_written(name)
    }

    /// Returns `true` if this file contains a name as a key or as a string, or stores closures under computed keys.
    pub(super) fn is_written(&self, name: &str) -> bool {
        let mut is_written = false;
        self.file.ast.walk(&mut |nodes| {
            is_written |= match nodes.last() {
                Some(ASTNode::Expr(Expr::StringConstant(text, _))) => text == name,
                Some(ASTNode::Expr(Expr::Property(property, _))) => property.2 == name,
                Some(ASTNode::Expr(Expr::Map(map, _))) => map.1.contains_key(name),
                Some(ASTNode::Stmt(Stmt::Assignment(assignment))) => {
                    is_made_up(&assignment.1.lhs) && closure(&assignment.1.rhs).is_some()
                }
                _ => false,
            };
            !is_written
        });
        is_written
    }

    /// Returns `true` if a value has a built-in type of Rhai and keeps it. A function that assigns to `this` may change
    /// the type.
    fn is_plain(&self, on: Type) -> bool {
        on.is_some_and(is_plain) && !self.assigns_this
    }

    /// Reports a key that a map of the host does not have: `socket.handshake.qurey`.
    pub(super) fn key(&mut self, receiver: Type, on: &str, map: &Expr, key: &Expr) {
        let key = match key {
            Expr::Dot(next, ..) => &next.lhs,
            Expr::Index(next, ..) => &next.lhs,
            key => key,
        };
        let (Expr::Property(map, _), Expr::Property(key, position)) = (map, key) else {
            return;
        };
        let keys = receiver.and_then(|id: TypeId| self.known.keys(id, &map.2));
        let Some(keys) = keys.filter(|keys| !keys.contains(&key.2.as_str())) else {
            return;
        };
        let (on, key) = (format!("{on}.{}", map.2), key.2.as_str());
        let warning = Diagnostic::warning(format!("`{on}` has no key `{key}`"));
        let warning = warning.hint(match nearest(key, keys.iter().copied()) {
            Some(near) => format!("`{on}` has a key `{near}`"),
            None => format!("its keys are `{}`", keys.join("`, `")),
        });
        self.report(warning, *position, key);
    }
}

/// Returns `true` if the key of an assignment's target is computed: `actions["on_" + kind]`.
fn is_made_up(place: &Expr) -> bool {
    match place {
        Expr::Index(index, ..) => !index.rhs.is_constant(),
        Expr::Dot(dot, ..) => is_made_up(&dot.rhs),
        _ => false,
    }
}
