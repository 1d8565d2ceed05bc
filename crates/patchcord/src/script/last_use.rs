//! Parameters whose values are moved into a call instead of copied.
//!
//! Rhai copies a variable that is passed to a call. If a parameter is mentioned only once, as an argument of a function
//! that sends it, its value is moved instead, so that data from a client is not copied.
//!
//! In: the definition of a closure. Out: a tag on such values, which the variable resolver checks.

use std::mem;

use rhai::{
    AST, ASTNode, Dynamic, Expr, FnCallExpr, FnPtr, ImmutableString, Scope, ScriptFuncDef, Shared,
    Stmt,
};

use super::captures::ast_of;

/// Functions of the host that only read their arguments, and do not keep them.
const SENDING: [&str; 2] = ["emit", "send"];
/// Name of the host's function that implements an ack.
const ACK: &str = "ack";
/// Tag of a value that is moved. Other values have other tags, unless a script sets this tag itself.
const HANDED_OVER: i32 = i32::MIN + 1;

/// Last use of a parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
enum LastUse {
    /// A function of the host sends it.
    Sent,
    /// The parameter is an argument in a call of the parameter with this name, which may be an ack.
    Answered(ImmutableString),
}

/// Parameters of a closure whose values are moved.
#[derive(Debug, Default)]
pub(super) struct LastUses(Vec<(ImmutableString, LastUse)>);

impl LastUses {
    /// Finds the last uses in the body of a closure. `is_script` returns `true` if scripts define a function with a
    /// name, which is then called instead of the host's function.
    pub(super) fn new(closure: &Shared<ScriptFuncDef>, is_script: impl Fn(&str) -> bool) -> Self {
        let body = ast_of(closure);
        let uses = closure.params.iter().filter_map(|name| {
            let last_use = last_use(&body, name, &closure.params)?;
            Some((name.clone(), last_use))
        });
        let is_host = |last_use: &LastUse| match last_use {
            LastUse::Sent => !SENDING.iter().any(|name| is_script(name)),
            LastUse::Answered(_) => !is_script(ACK),
        };
        Self(uses.filter(|(_, last_use)| is_host(last_use)).collect())
    }

    /// Tags the values of these parameters, which have just been set.
    pub(super) fn mark(&self, scope: &mut Scope<'_>) {
        for (name, last_use) in &self.0 {
            let is_sent = match last_use {
                LastUse::Sent => true,
                LastUse::Answered(ack) => scope.get(ack).is_some_and(is_ack),
            };
            if let Some(value) = scope.get_mut(name)
                && is_sent
                && is_worth_moving(value)
            {
                value.set_tag(HANDED_OVER);
            }
        }
    }
}

/// Returns `true` for an array or a map, because copying it costs more than tagging it. Captured variables are shared,
/// and are never moved.
pub(super) fn is_worth_moving(value: &Dynamic) -> bool {
    !value.is_shared() && (value.is_array() || value.is_map())
}

/// Returns `true` if a read of a variable moves its value out.
pub(super) const fn is_handed_over(value: &Dynamic) -> bool {
    value.tag() == HANDED_OVER
}

/// Moves the value out of its variable, and clears its tag.
pub(super) fn take(variable: &mut Dynamic) -> Dynamic {
    let mut value = mem::take(variable);
    value.set_tag(0);
    value
}

fn is_ack(value: &Dynamic) -> bool {
    value
        .read_lock::<FnPtr>()
        .is_some_and(|function| function.fn_name() == ACK)
}

/// Returns the use of a parameter, if its only mention is the last use of its value.
fn last_use(body: &AST, name: &str, parameters: &[ImmutableString]) -> Option<LastUse> {
    let mut found = None;
    let mut mentions = 0;
    body.walk(&mut |nodes| {
        match nodes.last() {
            Some(ASTNode::Expr(Expr::Variable(variable, ..))) if variable.1 == name => {
                mentions += 1;
                found = use_of_last(nodes, parameters);
            }
            // The closure declares another variable of the same name.
            Some(ASTNode::Stmt(Stmt::Var(variable, ..))) if variable.0.name == name => {
                mentions = usize::MAX / 2;
            }
            Some(ASTNode::Stmt(Stmt::For(variables, ..)))
                if variables.0.name == name
                    || variables.1.as_ref().is_some_and(|one| one.name == name) =>
            {
                mentions = usize::MAX / 2;
            }
            _ => {}
        }
        true
    });
    found.filter(|_| mentions == 1)
}

/// Returns the use of the variable in the last node.
fn use_of_last(nodes: &[ASTNode<'_>], parameters: &[ImmutableString]) -> Option<LastUse> {
    let is_loop = |node: &ASTNode<'_>| {
        matches!(
            node,
            ASTNode::Stmt(Stmt::While(..) | Stmt::Do(..) | Stmt::For(..))
        )
    };
    if nodes.iter().any(is_loop) {
        return None;
    }
    let parameter = |name: &ImmutableString| {
        let is_parameter = parameters.contains(name);
        is_parameter.then(|| LastUse::Answered(name.clone()))
    };
    match nodes {
        [
            ..,
            ASTNode::Expr(Expr::Dot(chain, ..)),
            ASTNode::Expr(Expr::MethodCall(call, _)),
            _,
        ] => match (&*call.name, &chain.lhs) {
            (name, _) if SENDING.contains(&name) => Some(LastUse::Sent),
            ("call", Expr::Variable(ack, ..)) => parameter(&ack.1),
            _ => None,
        },
        [
            ..,
            ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _)),
            _,
        ] if is_plain(call) => parameter(&call.name),
        _ => None,
    }
}

fn is_plain(call: &FnCallExpr) -> bool {
    call.namespace.is_empty() && !call.capture_parent_scope
}

#[cfg(test)]
mod tests {
    use super::*;
    use rhai::{Engine, OptimizationLevel};

    fn uses(closure: &str, functions: &str) -> Vec<(String, LastUse)> {
        let mut engine = Engine::new();
        engine.set_optimization_level(OptimizationLevel::None);
        let script = format!("{functions} let socket = 1; let io = 1; {closure}");
        let ast = engine.compile(script).unwrap();
        let closure: FnPtr = engine.eval_ast(&ast).unwrap();
        let mut definitions = ast.iter_fn_def();
        let closure = definitions
            .find(|one| *one.name == *closure.fn_name())
            .unwrap();
        let is_script = |name: &str| ast.iter_functions().any(|one| one.name == name);
        let LastUses(uses) = LastUses::new(closure, is_script);
        uses.into_iter()
            .map(|(name, last)| (name.into(), last))
            .collect()
    }

    #[test]
    fn the_one_mention_of_a_parameter_that_is_sent_is_its_last_use() {
        let sent = |name: &str| vec![(name.to_owned(), LastUse::Sent)];
        let answered = vec![("x".to_owned(), LastUse::Answered("ack".into()))];
        for (closure, expected) in [
            ("|x| socket.emit(\"a\", x)", sent("x")),
            (
                "|x| { if a() { socket.to(\"r\").emit(\"a\", 1, x); } }",
                sent("x"),
            ),
            ("|x| io.of(\"/\").send(x)", sent("x")),
            ("|x, ack| ack.call(x)", answered.clone()),
            ("|x, ack| { ack(x); }", answered.clone()),
            ("|x, ack| { let y = ack(1, x); y }", answered),
        ] {
            assert_eq!(uses(closure, ""), expected, "{closure}");
        }
        for closure in [
            "|x| { socket.emit(\"a\", x); x }",
            "|x| x.emit(\"a\")",
            "|x| { socket.emit(\"a\", x.y); }",
            "|x| { socket.emit(\"a\", [x]); }",
            "|x| { for i in 0..2 { socket.emit(\"a\", x); } }",
            "|x| { while a() { socket.emit(\"a\", x); } }",
            "|x| { let x = 1; socket.emit(\"a\", x); }",
            "|x| { for x in 0..2 { a(); } socket.emit(\"a\", x); }",
            "|x| { if a() { let x = 1; } socket.emit(\"a\", x); }",
            "|x| { set_timeout(|| socket.emit(\"a\", x), 1); }",
            "|x| { let f = |y| y; f(x) }",
            "|x| { x = 2; socket.emit(\"a\", x); }",
            "|x, ack| other::ack(x)",
            "|x| set(x)",
        ] {
            assert_eq!(uses(closure, ""), [], "{closure}");
        }
        assert_eq!(
            uses("|x| socket.emit(\"a\", x)", "fn emit(a, x) { x += 1; }"),
            []
        );
        assert_eq!(uses("|x, ack| ack(x)", "fn ack(x) { x += 1; }"), []);
    }
}
