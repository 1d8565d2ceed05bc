//! Functions of different files that Rhai would confuse with each other.
//!
//! Rhai caches the function that it finds for a name and a number of arguments. The cache lasts for the whole script
//! call and does not distinguish files: after two calls of a file's own function, calls in other files reach that
//! function, too.

use std::collections::BTreeMap;

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::is_closure;

/// Functions that a file calls by name alone, without a module.
pub(crate) struct Calls(BTreeMap<(String, usize), Call>);

struct Call {
    position: Position,
    /// `true` if the file itself defines the function.
    is_own: bool,
}

impl Calls {
    pub(crate) fn new(ast: &AST) -> Self {
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

    /// Returns the functions that are called here and that are different functions in `other`, each with its name and
    /// the position of a call here.
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
