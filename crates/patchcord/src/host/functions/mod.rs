//! Functions of the application that scripts can call.

pub(super) mod async_fn;

use std::{any::TypeId, str::FromStr, sync::Arc};

use rhai::{
    Dynamic, EvalAltResult, FnPtr, FuncRegistration, Module, NativeCallContext, RhaiFunc,
    RhaiNativeFunc, Variant, is_valid_function_name,
};

use self::async_fn::{Answer, AsyncContext, AsyncFunction, Caller, Type};
use crate::{api, connection::Turn, script};

/// Name of a function that scripts can call, with the names of its parameters and a comment. Editors show all of them.
///
/// A `&str` converts to a signature without a comment, with or without parameter names: `"find_user(id)"`,
/// `"find_user"`.
///
/// ```
/// use patchcord::{Host, Signature};
///
/// let twice = Signature::new("twice(n)").doc("Two times `n`.\n\n```rhai\ntwice(21)\n```");
/// let host = Host::builder().function(twice, |n: i64| n * 2).build();
/// assert!(host.definitions().contains("/// Two times `n`."));
/// assert!(host.definitions().contains("fn twice(n: int) -> int;"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    name: String,
    parameters: Vec<String>,
    doc: String,
}

/// Error for a text that is not a [`Signature`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a signature: {reason}; write a name, and the names of all parameters: `find_user(id)`"
)]
#[non_exhaustive]
pub struct BadSignature {
    /// Text that was parsed.
    pub text: String,
    /// Reason why the text is not a signature.
    pub reason: &'static str,
}

impl FromStr for Signature {
    type Err = BadSignature;

    /// Parses the name of the function, followed by the names of its parameters in parentheses.
    fn from_str(text: &str) -> Result<Self, BadSignature> {
        let bad = |reason| BadSignature {
            text: text.to_owned(),
            reason,
        };
        let (name, parameters) = match text.trim().split_once('(') {
            None => (text.trim(), ""),
            Some((name, rest)) => {
                let inside = rest.strip_suffix(')');
                (
                    name.trim_end(),
                    inside.ok_or_else(|| bad("it does not end with `)`"))?,
                )
            }
        };
        let plain = name
            .strip_prefix("get$")
            .or_else(|| name.strip_prefix("set$"));
        if !is_valid_function_name(plain.unwrap_or(name)) {
            return Err(bad("the name of the function is not a name in Rhai"));
        }
        let parameters = parameters.split(',').map(str::trim);
        let parameters: Vec<_> = match parameters.clone().eq([""]) {
            true => Vec::new(),
            false => parameters.map(str::to_owned).collect(),
        };
        let is_name = |name: &String| name == "_" || is_valid_function_name(name);
        if !parameters.iter().all(is_name) {
            return Err(bad("the name of a parameter is not a name in Rhai"));
        }
        Ok(Self {
            name: name.to_owned(),
            parameters,
            doc: String::new(),
        })
    }
}

impl Signature {
    /// Creates a signature from the name of the function, followed by the names of its parameters in parentheses, such
    /// as `find_user(id)`. The types are those of the Rust function. Without parentheses, each parameter is shown as
    /// `_`.
    ///
    /// # Panics
    /// Panics if the text is not a signature, because that is a mistake in the source of the application.
    /// `text.parse()` returns an error instead. The registration of a function panics if the signature names more
    /// parameters than the function has.
    #[allow(clippy::panic, reason = "a mistake in the application's source")]
    pub fn new(text: &str) -> Self {
        text.parse()
            .unwrap_or_else(|bad: BadSignature| panic!("{bad}"))
    }

    /// Sets the comment, in Markdown.
    #[must_use]
    pub fn doc(mut self, text: impl Into<String>) -> Self {
        self.doc = text.into();
        self
    }

    /// Registers a function with these parameter types under the name.
    fn register(
        self,
        module: &mut Module,
        types: &[TypeId],
        (parameters, returns): (&[&str], &str),
        function: RhaiFunc,
    ) {
        assert!(
            self.parameters.len() <= parameters.len(),
            "`{}` has {} parameters, and its signature names {}",
            self.name,
            parameters.len(),
            self.parameters.len()
        );
        let names = self
            .parameters
            .iter()
            .map(String::as_str)
            .chain([""].into_iter().cycle());
        let parameters = parameters.iter().zip(names).map(|(of, name)| match name {
            "" => format!("_: {of}"),
            name => format!("{name}: {of}"),
        });
        let doc: Vec<_> = self.doc.lines().map(|line| format!("/// {line}")).collect();
        let doc = (!doc.is_empty()).then(|| doc.join("\n"));
        let registration = FuncRegistration::new(self.name)
            .with_params_info(parameters.chain([returns.to_owned()]))
            .with_comments(doc);
        // Scripts find a method by the type that it is called on, even if it is in a module.
        let registration = match function.is_method() {
            true => registration.in_global_namespace(),
            false => registration,
        };
        registration.set_into_module_raw(module, types, function);
    }
}

impl From<&str> for Signature {
    fn from(text: &str) -> Self {
        Self::new(text)
    }
}

/// Function or closure that [`HostBuilder::function`](crate::HostBuilder::function) accepts: its parameters and its
/// result are [`Clone`], `Send` and `Sync`, and its result may be a `Result` with a `Box<EvalAltResult>`. The first
/// parameter may be a `&mut` reference, or Rhai's `NativeCallContext`. The trait is implemented for all such functions,
/// and cannot be implemented for other types.
pub trait Function<Args>: sealed::Native<Args> {}

impl<Args, F: sealed::Native<Args>> Function<Args> for F {}

mod sealed {
    use super::{RhaiFunc, RhaiNativeFunc, TypeId, Variant};

    /// Types of a function, as far as Rhai distinguishes them.
    #[derive(Debug)]
    pub struct Types<A, const N: usize, const X: bool, R, const F: bool>(
        std::marker::PhantomData<(A, R)>,
    );

    /// Function that Rhai can call.
    pub trait Native<Args>: Send + Sync + 'static {
        /// Returns the types of the parameters, their names, and the name of the result's type.
        fn types() -> (Vec<TypeId>, Vec<&'static str>, &'static str);

        /// Converts this function to one that Rhai can call.
        fn into_native(self) -> RhaiFunc;
    }

    impl<A, const N: usize, const X: bool, R, const F: bool, Fn> Native<Types<A, N, X, R, F>> for Fn
    where
        A: 'static,
        R: Variant + Clone,
        Fn: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    {
        fn types() -> (Vec<TypeId>, Vec<&'static str>, &'static str) {
            let (types, names) = (Fn::param_types(), Fn::param_names());
            (types.into(), names.into(), Fn::return_type_name())
        }

        fn into_native(self) -> RhaiFunc {
            self.into_rhai_function(false, true)
        }
    }
}

/// Functions of the application that form a module in scripts, for [`HostBuilder::module`](crate::HostBuilder::module).
///
/// ```
/// use patchcord::{Functions, Signature, testing::TestHost};
///
/// let db = Functions::new()
///     .function(Signature::new("name(id)").doc("The name of a user."), |id: i64| format!("user {id}"))
///     .effect("save_visit(id)", |id: i64| id + 1);
/// let script = "fn on_connection(socket) { db::save_visit(7); socket.emit(\"name\", db::name(7)); }";
/// let host = TestHost::build([("main.rhai", script)], |builder| builder.module("db", db));
/// assert_eq!(host.connect("/")?.heard(), ["name [\"user 7\"]"]);
/// # Ok::<(), patchcord::testing::Refused>(())
/// ```
#[derive(Debug, Clone, Default)]
pub struct Functions {
    module: Module,
    /// Name of the module with `::`, for errors; empty if it is not known.
    path: &'static str,
}

impl Functions {
    /// Creates a module without functions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Creates a module whose asynchronous functions have this path in errors, such as `password::`.
    pub(super) fn with_path(path: &'static str) -> Self {
        Self {
            path,
            ..Self::default()
        }
    }

    /// Adds a function without side effects: see [`HostBuilder::function`](crate::HostBuilder::function).
    #[must_use]
    pub fn function<Args: 'static>(
        mut self,
        signature: impl Into<Signature>,
        function: impl Function<Args>,
    ) -> Self {
        self.native(signature.into(), function, || None);
        self
    }

    /// Adds a function with side effects: see [`HostBuilder::effect`](crate::HostBuilder::effect).
    #[must_use]
    pub fn effect<Args: 'static>(
        mut self,
        signature: impl Into<Signature>,
        function: impl Function<Args>,
    ) -> Self {
        self.native(signature.into(), function, skipped_in_drafts);
        self
    }

    /// Adds an `async` function: see [`HostBuilder::async_function`](crate::HostBuilder::async_function).
    #[must_use]
    pub fn async_function<Args: 'static>(
        mut self,
        signature: impl Into<Signature>,
        function: impl AsyncFunction<Args>,
    ) -> Self {
        let mut signature = signature.into();
        let name = format!("{}{}", self.path, signature.name);
        let (types, function) = async_fn::native(&name, function);
        let (types, names): (Vec<_>, Vec<_>) = types.into_iter().unzip();
        let own = signature.parameters.len().max(types.len() - 1);
        signature.parameters.resize(own, String::new());
        signature.parameters.push("then".to_owned());
        signature.register(&mut self.module, &types, (&names, "()"), function);
        self
    }

    /// Adds an asynchronous function with these types of parameters, of which the last one may be a closure. Its errors
    /// call it `full_name`. `begin` returns the future of the result, or the reason why the call is refused, which is an error at the call.
    #[cfg_attr(
        not(any(feature = "http", feature = "sql")),
        allow(dead_code, reason = "for services that wait")
    )]
    #[must_use]
    pub(super) fn service(
        mut self,
        full_name: &str,
        mut signature: Signature,
        types: &[Type],
        begin: impl Fn(AsyncContext, Vec<Dynamic>) -> Result<Answer, String> + Send + Sync + 'static,
    ) -> Self {
        let has_closure = types
            .last()
            .is_some_and(|(id, _)| *id == TypeId::of::<FnPtr>());
        let begin = move |caller: &Caller<'_>, args| begin(AsyncContext::new(caller), args);
        let function = async_fn::waiting(full_name, has_closure, begin);
        let (types, names): (Vec<_>, Vec<_>) = types.iter().copied().unzip();
        if has_closure {
            signature.parameters.push("then".to_owned());
        }
        signature.register(&mut self.module, &types, (&names, "()"), function);
        self
    }

    fn native<Args: 'static, F: Function<Args>>(
        &mut self,
        signature: Signature,
        function: F,
        instead: Instead,
    ) {
        let (types, names, returns) = F::types();
        let function = isolated(function.into_native(), instead);
        signature.register(&mut self.module, &types, (&names, returns), function);
    }

    pub(super) fn into_module(self) -> Module {
        self.module
    }
}

/// Function that returns the result of a skipped call; `None` if the call is not skipped.
type Instead = fn() -> Option<Result<Dynamic, Box<EvalAltResult>>>;

fn skipped_in_drafts() -> Option<Result<Dynamic, Box<EvalAltResult>>> {
    match Turn::current() {
        Some(turn) if turn.draft.is_some() => Some(Ok(Dynamic::UNIT)),
        Some(_) => None,
        None => Some(Err(
            "a function with an effect has no place at top level: call it in `on_load` or `on_connection`"
                .into(),
        )),
    }
}

/// Wraps a function of the application: a panic in it ends only the script call, with an error at the place of the call
/// in the script. No variable is lost. A call that is recorded on a tape, or answered from one, goes through the tape.
fn isolated(function: RhaiFunc, instead: Instead) -> RhaiFunc {
    let by_reference = matches!(function, RhaiFunc::Method { .. });
    let (RhaiFunc::Pure { func, .. } | RhaiFunc::Method { func, .. }) = function else {
        return function;
    };
    let call = move |context: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| {
        let at = script::call_position(context.as_ref());
        let read = context
            .as_ref()
            .filter(|_| Turn::is_taped())
            .map(|context| {
                let given: Vec<_> = args.iter().map(|arg| format!("{arg:?}")).collect();
                api::Outside::draw(context.fn_name(), context, given)
            });
        let call = || {
            instead().unwrap_or_else(|| script::catch_panic(context, |context| func(context, args)))
        };
        let result = match read {
            Some(read) => read.read(call),
            None => call(),
        };
        result.map_err(|error| script::with_position(error, at))
    };
    let (func, has_context, is_volatile) = (Arc::new(call), true, true);
    match by_reference {
        true => RhaiFunc::Method {
            func,
            has_context,
            is_pure: false,
            is_volatile,
        },
        false => RhaiFunc::Pure {
            func,
            has_context,
            is_pure: true,
            is_volatile,
        },
    }
}
