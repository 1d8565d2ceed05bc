//! Functions of the program that scripts can call.

pub(super) mod async_fn;

use std::{any::TypeId, sync::Arc};

use rhai::{
    Dynamic, EvalAltResult, FuncRegistration, Module, NativeCallContext, RhaiFunc, RhaiNativeFunc,
    Variant,
};

use self::async_fn::AsyncFunction;
use crate::{api, connection::Turn, script};

/// The name of a function, with the names of its parameters and a comment: what editors show of it.
///
/// A text stands for one without a comment, with or without names of parameters: `"find_user(id)"`, `"find_user"`.
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

impl Signature {
    /// A name, and the names of parameters in parentheses behind it. Names that are missing are made up, and surplus ones
    /// are left out; the types are those of the function.
    pub fn new(text: &str) -> Self {
        let (name, parameters) = text.split_once('(').unwrap_or((text, ""));
        let parameters = parameters.trim_end().trim_end_matches(')').split(',');
        Self {
            name: name.trim().to_owned(),
            parameters: parameters.map(|name| name.trim().to_owned()).collect(),
            doc: String::new(),
        }
    }

    /// A comment, in Markdown.
    #[must_use]
    pub fn doc(mut self, text: impl Into<String>) -> Self {
        self.doc = text.into();
        self
    }

    /// Registers a function of these types under the name.
    fn register(
        self,
        module: &mut Module,
        types: &[TypeId],
        (parameters, gives): (&[&str], &str),
        function: RhaiFunc,
    ) {
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
            .with_params_info(parameters.chain([gives.to_owned()]))
            .with_comments(doc);
        // A method is found by the type that it is called on, in a module too.
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

/// Functions of the program that are a module in scripts: [`HostBuilder::module`](crate::HostBuilder::module).
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
}

impl Functions {
    /// No function yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A function that changes nothing: see [`HostBuilder::function`](crate::HostBuilder::function).
    #[must_use]
    pub fn function<A: 'static, const N: usize, const X: bool, R, const F: bool, FUNC>(
        mut self,
        signature: impl Into<Signature>,
        function: FUNC,
    ) -> Self
    where
        R: Variant + Clone,
        FUNC: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    {
        self.native(signature.into(), function, || None);
        self
    }

    /// A function that changes something outside: see [`HostBuilder::effect`](crate::HostBuilder::effect).
    #[must_use]
    pub fn effect<A: 'static, const N: usize, const X: bool, R, const F: bool, FUNC>(
        mut self,
        signature: impl Into<Signature>,
        function: FUNC,
    ) -> Self
    where
        R: Variant + Clone,
        FUNC: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    {
        self.native(signature.into(), function, skipped_in_drafts);
        self
    }

    /// A function that waits: see [`HostBuilder::async_function`](crate::HostBuilder::async_function).
    #[must_use]
    pub fn async_function<Args: 'static>(
        mut self,
        signature: impl Into<Signature>,
        function: impl AsyncFunction<Args>,
    ) -> Self {
        let mut signature = signature.into();
        let (types, function) = async_fn::native(&signature.name, function);
        let (types, names): (Vec<_>, Vec<_>) = types.into_iter().unzip();
        signature.parameters.resize(types.len() - 1, String::new());
        signature.parameters.push("then".to_owned());
        signature.register(&mut self.module, &types, (&names, "()"), function);
        self
    }

    fn native<A: 'static, const N: usize, const X: bool, R, const F: bool, FUNC>(
        &mut self,
        signature: Signature,
        function: FUNC,
        instead: Instead,
    ) where
        R: Variant + Clone,
        FUNC: RhaiNativeFunc<A, N, X, R, F> + Send + Sync + 'static,
    {
        let (types, names, gives) = (
            FUNC::param_types(),
            FUNC::param_names(),
            FUNC::return_type_name(),
        );
        let function = isolated(function.into_rhai_function(false, true), instead);
        signature.register(&mut self.module, &types, (&names, gives), function);
    }

    pub(super) fn into_module(self) -> Module {
        self.module
    }
}

/// What a call gives without the function; `None` where it is called.
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

/// A function of the program whose panic ends the script's call, at its place in the script; no variable is lost.
fn isolated(function: RhaiFunc, instead: Instead) -> RhaiFunc {
    let by_reference = matches!(function, RhaiFunc::Method { .. });
    let (RhaiFunc::Pure { func, .. } | RhaiFunc::Method { func, .. }) = function else {
        return function;
    };
    let call = move |context: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| {
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
        match read {
            Some(read) => read.read(call),
            None => call(),
        }
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
