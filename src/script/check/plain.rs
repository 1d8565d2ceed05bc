//! Strings, numbers, arrays, and maps whose keys are known: what they do not have.

use std::any::TypeId;

use rhai::{Expr, Position};

use super::{Check, Type};
use crate::{
    diagnostic::{Diagnostic, javascript},
    script::symbols::{Known, is_plain, nearest},
};

impl Check<'_> {
    /// `list.forEach(...)`: a function that there is for no value at all, on a value that has no keys.
    pub(super) fn plain_call(&mut self, on: Type, shown: &str, name: &str, position: Position) {
        let is_own = self.functions.contains_key(name) || Known::is_keyword(name);
        if is_own || !self.is_plain(on) || !self.known.named("", name).is_empty() {
            return;
        }
        let error = Diagnostic::error(format!("unknown function `{name}` on `{shown}`"));
        let near = || nearest(name, self.known.names(""));
        let error = match (javascript::of_value(name), near()) {
            (Some(hint), _) => error.hint(hint),
            (None, Some(near)) => error.hint(format!("there is a function `{near}`")),
            (None, None) => error,
        };
        self.report(error, position, name);
    }

    /// `list.length`: a property that there is for no value at all.
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

    /// A value of Rhai's own that stays one: a function may make another one of it where it assigns to `this`.
    fn is_plain(&self, on: Type) -> bool {
        on.is_some_and(is_plain) && !self.assigns_this
    }

    /// `socket.handshake.qurey`: a key that a map of the host does not have.
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
