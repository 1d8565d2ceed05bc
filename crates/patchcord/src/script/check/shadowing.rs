//! Functions of different files that Rhai would take for each other.
//!
//! What it has found for a name and a number of arguments it remembers for the whole call, whichever file the code that
//! asks is of: after two calls of a file's own function, other files that it is not meant for get it, too.

use std::collections::BTreeMap;

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::is_closure;

/// The functions that a file calls by their names alone.
pub(crate) struct Calls(BTreeMap<(String, usize), Call>);

struct Call {
    position: Position,
    /// Whether the file itself defines it.
    is_own: bool,
}

impl Calls {
    pub(crate) fn of(ast: &AST) -> Self {
        let mut calls = BTreeMap::new();
        let mut add = |call: &FnCallExpr, position: Position| {
            if call.namespace.is_empty() && call.op_token.is_none() && !is_closure(&call.name) {
                let key = (call.name.to_string(), call.args.len());
                let is_own = ast
                    .iter_functions()
                    .any(|own| own.name == key.0 && own.params.len() == key.1);
                calls.entry(key).or_insert(Call { position, is_own });
            }
        };
        ast.walk(&mut |nodes| {
            match nodes.last() {
                Some(ASTNode::Stmt(Stmt::FnCall(call, position)))
                | Some(ASTNode::Expr(
                    Expr::FnCall(call, position) | Expr::MethodCall(call, position),
                )) => add(call, *position),
                _ => {}
            }
            true
        });
        Self(calls)
    }

    /// What is called here that is another function in `other`: its name, and the place of a call here.
    pub(crate) fn ambiguous<'a>(
        &'a self,
        other: &'a Self,
    ) -> impl Iterator<Item = (&'a str, Position)> {
        self.0.iter().filter_map(|(key, call)| {
            let there = other.0.get(key)?;
            (call.is_own || there.is_own).then_some((key.0.as_str(), call.position))
        })
    }
}
