//! Names that can only mean the connection's own socket: the parameter of `on_connection`, and parameters of functions
//! that receive this socket in every call.

use std::collections::BTreeSet;

use super::{Function, Places};
use crate::script::tokens::{self, Shape, Token};

/// Function that the host calls with the socket of a connection.
#[derive(Debug, Clone, Copy)]
pub(in crate::script) struct OwnSocket<'a> {
    /// Named function of the entry file, or row of a closure.
    pub(in crate::script) hook: Result<&'a str, usize>,
    pub(in crate::script) parameter: &'a str,
}

impl Places {
    /// Returns `true` if a name refers to the connection's own socket in the closure of a row.
    pub(in crate::script) fn is_own_socket(
        &self,
        row: usize,
        name: &str,
        own: OwnSocket<'_>,
    ) -> bool {
        let Some(of) = self.rows.get(row) else {
            return false;
        };
        if !self.is_declared_once(row, name) {
            return false;
        }
        let within_hook = |hook| {
            let mut at = Some(row);
            while let Some(row) = at.filter(|row| *row != hook) {
                at = self.rows.get(row).and_then(|row| row.parent);
            }
            at.is_some()
        };
        match (of.function, own.hook) {
            (None, Err(hook)) => within_hook(hook) && name == own.parameter,
            (None, Ok(_)) => false,
            (Some(function), _) => {
                self.gets_own_socket(function, tokens::name(name), own, &mut BTreeSet::new())
            }
        }
    }

    /// Returns `true` if a parameter of a named function is the connection's own socket in every call.
    fn gets_own_socket(
        &self,
        index: usize,
        name: u64,
        own: OwnSocket<'_>,
        seen: &mut BTreeSet<(usize, u64)>,
    ) -> bool {
        let Some(function) = self.functions.get(index) else {
            return false;
        };
        let is_entry = function.file_index + 1 == self.files.len();
        if is_entry && own.hook == Ok(&*function.name) {
            return name == tokens::name(own.parameter);
        }
        if !seen.insert((index, name)) {
            return true;
        }
        let Some(parameter) = self.parameters(function).iter().position(|p| *p == name) else {
            return false;
        };
        let mut calls = 0;
        for (file_index, file) in self.files.iter().enumerate() {
            let mut at = 0;
            while let Some(token) = file.tokens.get(at) {
                if self.mentions(function, file_index, at, *token) {
                    calls += 1;
                    let given = self.argument(file_index, at, parameter);
                    let is_own =
                        given.is_some_and(|given| self.is_own_at(file_index, at, given, own, seen));
                    if !is_own {
                        return false;
                    }
                }
                at += 1;
            }
        }
        calls > 0
    }

    /// Returns `true` if a name that is passed to a function is the connection's own socket there.
    fn is_own_at(
        &self,
        file: usize,
        at: usize,
        name: u64,
        own: OwnSocket<'_>,
        seen: &mut BTreeSet<(usize, u64)>,
    ) -> bool {
        let around = self
            .functions
            .iter()
            .position(|f| f.file_index == file && f.range.contains(&at));
        let declared = |range: &std::ops::Range<usize>| {
            let declared = self.files.get(file).map(|file| &file.declared);
            let declared = declared.into_iter().flatten();
            declared
                .filter(|d| d.name == name && range.contains(&d.at))
                .count()
        };
        match (around, own.hook) {
            (Some(around), _) => {
                let range = self.functions.get(around).map(|f| declared(&f.range));
                range == Some(1) && self.gets_own_socket(around, name, own, seen)
            }
            (None, Err(hook)) => {
                let hook = self.rows.get(hook);
                hook.is_some_and(|hook| {
                    hook.file_index == file
                        && hook.range.contains(&at)
                        && declared(&hook.range) == 1
                        && name == tokens::name(own.parameter)
                })
            }
            (None, Ok(_)) => false,
        }
    }

    /// Returns `true` for a token that names a function, outside its definition.
    fn mentions(&self, function: &Function, file: usize, at: usize, token: Token) -> bool {
        let before = at
            .checked_sub(1)
            .and_then(|at| self.files.get(file)?.tokens.get(at));
        token.shape == Shape::Name
            && token.hash == tokens::name(&function.name)
            && before.is_none_or(|before| before.shape != Shape::Fn)
    }

    /// Returns the argument of the call at a token, if the argument is a single name.
    fn argument(&self, file: usize, at: usize, nth: usize) -> Option<u64> {
        let tokens = &self.files.get(file)?.tokens;
        let is_method = at
            .checked_sub(1)
            .and_then(|at| tokens.get(at))
            .is_some_and(|before| before.shape == Shape::Dot);
        if is_method || tokens.get(at + 1)?.shape != Shape::Open {
            return None;
        }
        let (mut at, mut depth, mut place) = (at + 2, 0_usize, 0);
        let mut given = Vec::new();
        loop {
            let token = tokens.get(at)?;
            match token.shape {
                Shape::Close if depth == 0 => break,
                Shape::Comma if depth == 0 => place += 1,
                shape => {
                    match shape {
                        Shape::Open | Shape::Brace => depth += 1,
                        Shape::Close => depth -= 1,
                        _ => {}
                    }
                    if place == nth {
                        given.push(*token);
                    }
                }
            }
            at += 1;
        }
        match given.as_slice() {
            [one] if one.shape == Shape::Name => Some(one.hash),
            _ => None,
        }
    }

    /// Returns the hashes of the names of a function's parameters.
    fn parameters(&self, function: &Function) -> Vec<u64> {
        let Some(file) = self.files.get(function.file_index) else {
            return Vec::new();
        };
        let tokens = file.tokens.slice(function.range.clone()).iter();
        let from_list = tokens
            .skip_while(|token| token.shape != Shape::Open)
            .skip(1);
        let list = from_list.take_while(|token| token.shape != Shape::Close);
        list.filter(|token| token.shape == Shape::Name)
            .map(|token| token.hash)
            .collect()
    }
}
