//! Hooks: the functions that the host calls by name.

use rhai::{Position, ScriptFuncDef};

use super::{Check, Type};
use crate::{
    diagnostic::Diagnostic,
    script::{hook::Hook, symbols::nearest},
};

impl Check<'_> {
    /// Checks the parameters of hooks, and reports functions that are meant to be hooks but are not.
    pub(super) fn hooks(&mut self) {
        if !self.file.is_entry {
            return;
        }
        for function in self.file.ast.iter_fn_def() {
            match Hook::ALL
                .into_iter()
                .find(|hook| *function.name == *hook.name())
            {
                Some(hook) => self.parameters(hook, function),
                None => self.near_hook(function),
            }
        }
    }

    fn parameters(&mut self, hook: Hook, function: &ScriptFuncDef) {
        let least = hook.parameters().min(1);
        if !(least..=hook.parameters()).contains(&function.params.len()) {
            let error = Diagnostic::error(format!("`{}` has the wrong parameters", hook.name()))
                .hint(format!("write `fn {} {{ ... }}`", hook.signature()));
            self.report(error, self.declared_at(function), hook.name());
        }
    }

    /// Reports a function that nothing calls, with a name like that of a hook.
    fn near_hook(&mut self, function: &ScriptFuncDef) {
        let name = function.name.as_str();
        let called = self.mentioned.contains(name) || self.mentioned.contains(&format!("{name}()"));
        if called || !name.starts_with("on") || function.access == rhai::FnAccess::Private {
            return;
        }
        let hooks = Hook::ALL
            .into_iter()
            .filter(|hook| !self.functions.contains_key(hook.name()));
        let Some(hook) = hooks
            .clone()
            .find(|hook| is_meant(name, hook.name()))
            .or_else(|| {
                let near = nearest(name, hooks.clone().map(Hook::name))?;
                hooks.clone().find(|hook| hook.name() == near)
            })
        else {
            return;
        };
        if function.params.len() <= hook.parameters() {
            let error = Diagnostic::error(format!("nothing calls the function `{name}`"))
                .hint(format!("the hook of the host is `{}`", hook.signature()));
            self.report(error, self.declared_at(function), name);
        }
    }

    /// Returns the position of a function's name, found in the text: Rhai knows only the position of the body.
    pub(super) fn declared_at(&self, function: &ScriptFuncDef) -> Position {
        let body = function.body.start_position();
        let name = function.name.as_str();
        let last = body.line().unwrap_or(1);
        let lines = self.file.text.lines().take(last).enumerate();
        let found = lines
            .filter_map(|(line, text)| Some((line, column(text, name)?)))
            .last();
        let place = found.and_then(|(line, column)| {
            Some((
                u16::try_from(line + 1).ok()?,
                u16::try_from(column + 1).ok()?,
            ))
        });
        place.map_or(body, |(line, column)| Position::new(line, column))
    }

    /// Returns the types of a function's parameters. They are known if the function is a hook, because the host calls
    /// it.
    pub(super) fn parameter_types(&self, function: &ScriptFuncDef) -> Vec<Type> {
        let hook = Hook::ALL
            .into_iter()
            .find(|hook| self.file.is_entry && *function.name == *hook.name());
        let names: Vec<_> = hook.map_or_else(Vec::new, parameter_names);
        let types = names.iter().map(|name| self.known.handle(name));
        types
            .chain(std::iter::repeat(None))
            .take(function.params.len())
            .collect()
    }
}

/// Returns the names between the parentheses of a hook's signature.
fn parameter_names(hook: Hook) -> Vec<&'static str> {
    let inside = hook.signature().split(['(', ')']).nth(1).unwrap_or("");
    inside
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
        .collect()
}

/// Returns `true` if `name` is meant to be `hook`: `on_connect` for `on_connection`, `on_disconnecting` for
/// `on_disconnect`.
fn is_meant(name: &str, hook: &str) -> bool {
    name.starts_with("on_")
        && (hook.starts_with(name) && name.len() > hook.len() / 2 || name.starts_with(hook))
}

/// Returns the column of the name in `fn name` within a line, in characters from 0.
fn column(line: &str, name: &str) -> Option<usize> {
    let mut starts = line.match_indices(name);
    starts.find_map(|(at, _)| {
        let (before, rest) = (line.get(..at)?, line.get(at + name.len()..)?);
        let declares = before.trim_end().ends_with("fn") && before.ends_with(char::is_whitespace);
        (declares && rest.trim_start().starts_with('(')).then(|| before.chars().count())
    })
}
