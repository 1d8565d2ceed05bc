//! Expressions, and the types of their values.

use std::any::TypeId;

use rhai::{
    ASTFlags, Array, BinaryExpr, Expr, FLOAT, FnPtr, INT, ImmutableString, Map, Position, Stmt,
};

use super::{Check, Type, arguments, is_closure, names::shown};
use crate::{
    diagnostic::{Diagnostic, javascript},
    script::symbols::{Member, is_closure as is_closure_type, nearest},
    value::Secret,
};

/// Returns the expression in a block that has no other statement, such as the part of an interpolated string.
fn alone(expression: &Expr) -> &Expr {
    match expression {
        Expr::Stmt(block) => match block.statements() {
            [Stmt::Expr(inner)] => inner,
            _ => expression,
        },
        _ => expression,
    }
}

/// Closure in the text.
pub(in crate::script) struct Closure<'a> {
    pub(in crate::script) name: String,
    pub(in crate::script) captured: &'a [Expr],
    pub(in crate::script) position: Position,
}

/// Returns the closure, if an expression is a closure.
pub(in crate::script) fn closure(expression: &Expr) -> Option<Closure<'_>> {
    match expression {
        Expr::DynamicConstant(value, position) => {
            let name = value.read_lock::<FnPtr>()?.fn_name().to_owned();
            is_closure(&name).then_some(Closure {
                name,
                captured: &[],
                position: *position,
            })
        }
        Expr::Stmt(block) => match block.statements() {
            [Stmt::Share(_), Stmt::Expr(curried)] => match &**curried {
                Expr::FnCall(call, _) => {
                    let (first, captured) = call.args.split_first()?;
                    Some(Closure {
                        captured,
                        ..closure(first)?
                    })
                }
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

impl Check<'_> {
    pub(super) fn expression(&mut self, expression: &Expr) -> Type {
        match expression {
            Expr::Variable(..) => self.variable(expression),
            Expr::IntegerConstant(..) => Some(TypeId::of::<INT>()),
            Expr::FloatConstant(..) => Some(TypeId::of::<FLOAT>()),
            Expr::BoolConstant(..) => Some(TypeId::of::<bool>()),
            Expr::StringConstant(text, position) => {
                self.interpolation(text, *position);
                Some(TypeId::of::<ImmutableString>())
            }
            Expr::InterpolatedString(parts, _) => {
                for part in parts {
                    let part = alone(part);
                    if self.expression(part) == Some(TypeId::of::<Secret>()) {
                        self.interpolated_secret(part.start_position());
                    }
                }
                Some(TypeId::of::<ImmutableString>())
            }
            Expr::Array(elements, _) => {
                self.all(elements.iter());
                Some(TypeId::of::<Array>())
            }
            Expr::Map(map, _) => {
                self.all(map.0.iter().map(|(_, value)| value));
                Some(TypeId::of::<Map>())
            }
            Expr::And(parts, _) | Expr::Or(parts, _) | Expr::Coalesce(parts, _) => {
                self.all(parts.iter());
                None
            }
            Expr::FnCall(call, position) => self.function_call(call, *position),
            Expr::Dot(dot, ..) => self.dot(dot, false),
            Expr::Index(index, flags, _) => {
                self.expression(&index.lhs);
                self.after_index(&index.rhs, *flags);
                None
            }
            Expr::Custom(custom, _) => {
                self.all(custom.inputs.iter());
                None
            }
            Expr::DynamicConstant(..) | Expr::Stmt(..) => self.block_or_closure(expression),
            _ => None,
        }
    }

    fn all<'e>(&mut self, expressions: impl Iterator<Item = &'e Expr>) {
        for expression in expressions {
            self.used(expression);
            self.expression(expression);
        }
    }

    fn block_or_closure(&mut self, expression: &Expr) -> Type {
        if let Some(found) = closure(expression) {
            self.closure(&found, None);
            return Some(TypeId::of::<FnPtr>());
        }
        if let Expr::Stmt(block) = expression {
            self.block(block.statements());
        }
        None
    }

    /// Checks a closure. `gets` describes the closure and names the parameters that its caller passes, if they are
    /// known.
    pub(super) fn closure(&mut self, closure: &Closure<'_>, gets: Option<(&str, &[&str])>) {
        let mut types: Vec<Type> = Vec::new();
        for captured in closure.captured {
            types.push(self.variable(captured));
        }
        let Some(function) = self
            .functions
            .get(closure.name.as_str())
            .and_then(|all| all.first().cloned())
        else {
            return;
        };
        let parameters = &function.definition.params;
        let own = parameters.get(types.len()..).unwrap_or_default();
        match gets {
            Some((what, parameters)) => {
                if own.len() > parameters.len() {
                    let error = Diagnostic::error(format!(
                        "{what} gets {}, and declares {}",
                        arguments(parameters.len()),
                        own.len()
                    ))
                    .hint(format!("write `|{}| ...`", parameters.join(", ")));
                    self.report(error, closure.position, "|");
                }
                types.extend(parameters.iter().map(|name| self.parameter(name)));
            }
            None => {
                types.resize(function.definition.params.len(), None);
                self.answer(own, &mut types);
            }
        }
        types.resize(function.definition.params.len(), None);
        self.body(&function, &types);
    }

    /// Returns the type of a parameter that the host passes to a closure.
    fn parameter(&self, name: &str) -> Type {
        match name {
            "event" | "reason" => Some(TypeId::of::<ImmutableString>()),
            "args" => Some(TypeId::of::<Array>()),
            _ => self.known.handle(name),
        }
    }

    /// Sets the type of a listener's last parameter, if it has the usual name of the ack function: `ack`.
    fn answer(&self, own: &[ImmutableString], types: &mut [Type]) {
        let Some((last, name)) = types.last_mut().zip(own.last()) else {
            return;
        };
        let closure = TypeId::of::<FnPtr>();
        *last = self.known.handle(name).filter(|id| *id == closure);
    }

    pub(super) fn dot(&mut self, dot: &BinaryExpr, set: bool) -> Type {
        let receiver = self.expression(&dot.lhs);
        self.step(receiver, &shown(&dot.lhs), &dot.rhs, set)
    }

    /// Checks one step of a chain, and the steps after it.
    fn step(&mut self, receiver: Type, on: &str, step: &Expr, set: bool) -> Type {
        match step {
            Expr::Property(property, position) => {
                self.property(receiver, on, &property.2, *position, set)
            }
            Expr::MethodCall(call, position) => self.method_call(receiver, on, call, *position),
            Expr::Dot(next, ..) => {
                if let Expr::MethodCall(call, position) = &next.lhs {
                    self.nothing(call, *position);
                }
                self.key(receiver, on, &next.lhs, &next.rhs);
                let receiver = self.step(receiver, on, &next.lhs, false);
                let on = format!("{on}.{}", shown(&next.lhs));
                self.step(receiver, &on, &next.rhs, set)
            }
            Expr::Index(next, flags, _) => {
                self.step(receiver, on, &next.lhs, false);
                self.after_index(&next.rhs, *flags);
                None
            }
            other => self.expression(other),
        }
    }

    /// Checks the index in brackets, and the steps after it. In the AST, `a[b].c` is the index `b.c` of `a`, unless the
    /// chain ends at the bracket.
    fn after_index(&mut self, inside: &Expr, flags: ASTFlags) {
        match inside {
            Expr::Dot(rest, ..) if !flags.contains(ASTFlags::BREAK) => {
                self.expression(&rest.lhs);
                self.step(None, "the element", &rest.rhs, false);
            }
            Expr::Index(rest, flags_of_rest, _) if !flags.contains(ASTFlags::BREAK) => {
                self.expression(&rest.lhs);
                self.after_index(&rest.rhs, *flags_of_rest);
            }
            other => {
                self.expression(other);
            }
        }
    }

    /// Checks the target of an assignment that is not a variable.
    pub(super) fn assigned_place(&mut self, target: &Expr) {
        match target {
            Expr::Dot(dot, ..) => self.dot(dot, true),
            other => self.expression(other),
        };
    }

    fn property(
        &mut self,
        receiver: Type,
        on: &str,
        name: &str,
        position: Position,
        set: bool,
    ) -> Type {
        let Some(id) = receiver.filter(|id| self.known.is_closed(*id)) else {
            self.plain_property(receiver, on, name, position);
            return None;
        };
        let getter = format!("get${name}");
        let readable = self.known.methods(id, &getter).next().is_some();
        if set {
            let writable = self
                .known
                .methods(id, &format!("set${name}"))
                .next()
                .is_some();
            if readable && !writable && !self.known.is_open(id) {
                let error = Diagnostic::error(format!("property `{name}` of `{on}` cannot be set"));
                self.report(error, position, name);
                return None;
            }
        }
        if readable {
            return self.known.returns(id, &getter, 1);
        }
        if !self.known.is_open(id) {
            let error = Diagnostic::error(format!("unknown property `{name}` of `{on}`"));
            let error = match self.own_values(id).filter(|_| set) {
                Some(own) => error.hint(format!(
                    "a value of one's own is kept in `{on}.{own}.{name}`"
                )),
                None => self.with_member(error, id, on, name),
            };
            self.report(error, position, name);
        }
        None
    }

    /// Returns the property of a handle that is a map for the script's own values.
    fn own_values(&self, id: TypeId) -> Option<&'static str> {
        let data = self.known.returns(id, "get$data", 1)?;
        self.known.is_open(data).then_some("data")
    }

    /// Adds a hint that names a similar member of the receiver.
    pub(super) fn with_member(
        &self,
        error: Diagnostic,
        id: TypeId,
        on: &str,
        name: &str,
    ) -> Diagnostic {
        if is_closure_type(id) {
            return error.hint(format!(
                "`{on}` is a closure: it is called as `{on}.call(...)`"
            ));
        }
        let members = self.known.members(id);
        let own = members.iter().any(|member| member.name() == name);
        if let Some(hint) =
            javascript::of_handle(name).filter(|_| !own && self.known.is_of_host(id))
        {
            return error.hint(hint);
        }
        let same = members.iter().find(|member| member.name() == name).copied();
        let near = nearest(name, members.iter().map(|member| member.name()));
        let near = near.and_then(|near| members.iter().find(|member| member.name() == near));
        match same.or_else(|| near.copied()) {
            Some(Member::Function(name)) => {
                error.hint(format!("`{on}` has a function `{name}(...)`"))
            }
            Some(Member::Property(name)) => error.hint(format!("`{on}` has a property `{name}`")),
            None if self.known.is_of_host(id) => self.with_owner(error, name),
            None => error,
        }
    }
}
