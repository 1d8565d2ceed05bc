//! Arguments of types that a function does not accept, type names that no value has, and strings that were meant to be
//! interpolated.

use std::any::TypeId;

use rhai::{
    Array, Blob, Dynamic, Expr, FLOAT, FnCallExpr, FnPtr, INT, ImmutableString, Map, Position,
};

use super::{Check, Type};
use crate::{diagnostic::Diagnostic, script::symbols::Signature};

/// Type names of other languages, each with a hint about the names that `type_of` returns.
const TYPE_NAMES: &[(&str, &str)] = &[
    ("object", "a map is `\"map\"`, and an array is `\"array\"`"),
    (
        "number",
        "an integer is `\"i64\"`, and any other one `\"f64\"`",
    ),
    ("int", "an integer is `\"i64\"`"),
    ("integer", "an integer is `\"i64\"`"),
    ("float", "a number with a fraction is `\"f64\"`"),
    ("boolean", "`true` and `false` are `\"bool\"`"),
    ("function", "a closure is `\"Fn\"`"),
    ("closure", "a closure is `\"Fn\"`"),
    ("undefined", "nothing is `\"()\"`"),
    ("null", "nothing is `\"()\"`"),
    ("String", "a string is `\"string\"`"),
    ("Array", "an array is `\"array\"`"),
    ("Object", "a map is `\"map\"`"),
];

/// Name in messages for a type without a name in the documentation.
const OTHER: &str = "another value";

/// Maximum number of calls that a hint lists.
const MAX_CALLS: usize = 4;

impl Check<'_> {
    /// Reports arguments of wrong types, if the function exists for other types: `set_timeout(100, || ...)`. The types
    /// of a method start with its receiver.
    pub(super) fn takes_types(
        &mut self,
        signatures: &[&Signature],
        (name, position): (&str, Position),
        (types, is_method): (&[Type], bool),
    ) {
        let fits = |signature: &&Signature| {
            let mut pairs = signature.types().iter().zip(types);
            pairs.all(|(takes, found)| found.is_none_or(|found| accepts(*takes, found)))
        };
        if signatures.is_empty() || signatures.iter().any(fits) {
            return;
        }
        let list = |types: &mut dyn Iterator<Item = Type>| {
            let words: Vec<_> = types.map(|id| self.type_word(id)).collect();
            format!("({})", words.join(", "))
        };
        let skip = usize::from(is_method);
        // Signatures that do not accept the first argument do not help.
        let is_near = |signature: &&&Signature| {
            let first = signature
                .types()
                .first()
                .zip(types.first().copied().flatten());
            first.is_none_or(|(takes, found)| accepts(*takes, found))
        };
        let near: Vec<_> = signatures.iter().filter(is_near).collect();
        let all: Vec<_> = signatures.iter().collect();
        let mut takes: Vec<_> = if near.is_empty() { all } else { near }
            .into_iter()
            .map(|signature| {
                let types = signature.types().iter().skip(skip);
                format!("`{name}{}`", list(&mut types.map(|id| Some(*id))))
            })
            .collect();
        takes.retain(|call| !call.contains(OTHER));
        takes.sort();
        takes.dedup();
        takes.truncate(MAX_CALLS);
        let found = list(&mut types.iter().skip(skip).copied());
        let warning = Diagnostic::warning(format!("there is no `{name}{found}`"));
        let warning = match takes.is_empty() {
            true => warning,
            false => warning.hint(format!("the call is {}", takes.join(" or "))),
        };
        let marked = name.rsplit("::").next().unwrap_or(name);
        self.report(warning, position, marked);
    }

    /// Returns the name of a type, as in the documentation.
    fn type_word(&self, of: Type) -> String {
        let Some(id) = of.filter(|id| *id != TypeId::of::<Dynamic>()) else {
            return "any value".to_owned();
        };
        let words = [
            (TypeId::of::<INT>(), "int"),
            (TypeId::of::<FLOAT>(), "float"),
            (TypeId::of::<bool>(), "bool"),
            (TypeId::of::<char>(), "char"),
            (TypeId::of::<()>(), "()"),
            (TypeId::of::<Array>(), "array"),
            (TypeId::of::<Blob>(), "blob"),
            (TypeId::of::<Map>(), "map"),
            (TypeId::of::<FnPtr>(), "closure"),
        ];
        let own = self.known.vocabulary.types.iter();
        let own = own.map(|(name, id)| (id(), *name));
        let mut all = words.into_iter().chain(own);
        match all.find(|(known, _)| *known == id) {
            Some((_, word)) => word.to_owned(),
            None if is_text(id) => "string".to_owned(),
            None => OTHER.to_owned(),
        }
    }

    /// Reports a comparison with a type name that no value has: `type_of(m) == "object"`.
    pub(super) fn compared_type(&mut self, call: &FnCallExpr) {
        let is_comparison = call.op_token.is_some() && matches!(call.name.as_str(), "==" | "!=");
        if !is_comparison || !call.args.iter().any(is_type_of) {
            return;
        }
        for argument in &call.args {
            let Expr::StringConstant(text, position) = argument else {
                continue;
            };
            let known = TYPE_NAMES.iter().find(|(name, _)| name == text);
            if let Some((name, hint)) = known {
                let warning = Diagnostic::warning(format!("no value has the type `\"{name}\"`"));
                self.report(warning.hint(*hint), *position, "");
            }
        }
    }

    /// Reports a secret in an interpolated string, which shows `[secret]` in its place.
    pub(super) fn interpolated_secret(&mut self, position: Position) {
        let warning = Diagnostic::warning("a secret is not shown in an interpolated string");
        let hint = "`\"Bearer \" + secret` is a secret that contains it";
        self.report(warning.hint(hint), position, "");
    }

    /// Reports `"hello ${name}"`: a string in double quotes is not interpolated.
    pub(super) fn interpolation(&mut self, text: &ImmutableString, position: Position) {
        let Some((_, rest)) = text.split_once("${") else {
            return;
        };
        let is_part = |c: char| c.is_alphanumeric() || c == '_';
        let name: String = rest
            .trim_start()
            .chars()
            .take_while(|c| is_part(*c))
            .collect();
        let is_there = self.scope.iter().any(|variable| variable.name == *name);
        if is_there && rest.contains('}') {
            let warning = Diagnostic::warning(format!(
                "`${{{name}` in double quotes is text, and not a value"
            ));
            let hint = "a string in backticks has the values of its `${...}`";
            self.report(warning.hint(hint), position, "");
        }
    }
}

/// Returns `true` for `type_of(m)` and `m.type_of()`.
fn is_type_of(expression: &Expr) -> bool {
    match expression {
        Expr::FnCall(call, _) | Expr::MethodCall(call, _) => call.name == "type_of",
        Expr::Dot(dot, ..) => is_type_of(&dot.rhs),
        _ => false,
    }
}

/// Returns `true` if a parameter accepts a value of a type.
fn accepts(takes: TypeId, found: TypeId) -> bool {
    takes == found || takes == TypeId::of::<Dynamic>() || is_text(takes) && is_text(found)
}

fn is_text(id: TypeId) -> bool {
    [
        TypeId::of::<ImmutableString>(),
        TypeId::of::<String>(),
        TypeId::of::<&str>(),
    ]
    .contains(&id)
}
