//! Asynchronous functions of the application, which pass their result to a closure of the script.

use std::{
    any::{TypeId, type_name},
    fmt::Display,
    pin::Pin,
    sync::Arc,
};

use rhai::{Dynamic, EvalAltResult, FnPtr, NativeCallContext, RhaiFunc, Variant};

use crate::{
    connection::{Call, Turn, Work},
    script::Handler,
};

/// Future of the result of an asynchronous function; an error as text.
type Answer = Pin<Box<dyn Future<Output = Result<Dynamic, String>> + Send>>;

/// `async` function or closure of up to four arguments that returns a `Result` whose error implements [`Display`]. It
/// is implemented for all such functions, and cannot be implemented for other types.
///
/// ```
/// use patchcord::Host;
///
/// async fn ask(url: String, times: i64) -> Result<String, std::io::Error> {
///     Ok(url.repeat(times.unsigned_abs() as usize))
/// }
///
/// let host = Host::builder().async_function("ask(url, times)", ask).build();
/// ```
pub trait AsyncFunction<Args>: sealed::Begin<Args> {}

impl<Args, F: sealed::Begin<Args>> AsyncFunction<Args> for F {}

mod sealed {
    use super::{Answer, Dynamic, TypeId};

    /// Function with these types of arguments.
    pub trait Begin<Args>: Send + Sync + 'static {
        /// Returns the types of the arguments, with the names of the types.
        fn types() -> Vec<(TypeId, &'static str)>;

        /// Calls the function, and returns its future; `None` if the arguments do not have these types.
        fn begin(&self, args: Vec<Dynamic>) -> Option<Answer>;
    }
}

use sealed::Begin;

macro_rules! async_function {
    ($($name:ident),*) => {
        impl<F, Fut, R, E, $($name),*> Begin<($($name,)*)> for F
        where
            F: Fn($($name),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<R, E>> + Send + 'static,
            R: Variant + Clone,
            E: Display,
            $($name: Variant + Clone,)*
        {
            fn types() -> Vec<(TypeId, &'static str)> {
                vec![$((TypeId::of::<$name>(), type_name::<$name>())),*]
            }

            #[allow(non_snake_case, unused_mut, unused_variables, reason = "for any number of arguments")]
            fn begin(&self, args: Vec<Dynamic>) -> Option<Answer> {
                let mut args = args.into_iter();
                $(let $name = args.next()?.try_cast::<$name>()?;)*
                let future = self($($name),*);
                Some(Box::pin(async move {
                    future.await.map(Dynamic::from).map_err(|error| error.to_string())
                }))
            }
        }
    };
}

async_function!();
async_function!(A);
async_function!(A, B);
async_function!(A, B, C);
async_function!(A, B, C, D);

/// Returns the native function of the name, and the types of its parameters. Its last parameter is the closure.
pub(super) fn native<Args: 'static>(
    name: &str,
    function: impl AsyncFunction<Args>,
) -> (Vec<(TypeId, &'static str)>, RhaiFunc) {
    let types = types_of(&function);
    let name = name.to_owned();
    let call = move |context: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| {
        let Some(turn) = Turn::current() else {
            return refuse(format!(
                "`{name}` has no place at top level: call it in `on_load` or `on_connection`"
            ));
        };
        if turn.draft.is_some() {
            return Ok(Dynamic::UNIT);
        }
        let mut values: Vec<_> = args.iter_mut().map(|arg| arg.take()).collect();
        let closure = values.pop().and_then(Dynamic::try_cast::<FnPtr>);
        let handler = closure
            .zip(context)
            .and_then(|(closure, context)| Handler::new(closure, &context));
        match (handler, function.begin(values)) {
            (Some(handler), Some(answer)) => {
                let of = turn.connection.beginnings();
                tokio::spawn(deliver(turn, (Arc::new(handler), of), answer));
                Ok(Dynamic::UNIT)
            }
            _ => refuse(format!("`{name}` takes a closure as its last argument")),
        }
    };
    let func = RhaiFunc::Pure {
        func: Arc::new(call),
        has_context: true,
        is_pure: true,
        is_volatile: true,
    };
    (types, func)
}

fn types_of<Args, F: AsyncFunction<Args>>(_: &F) -> Vec<(TypeId, &'static str)> {
    let mut types = F::types();
    types.push((TypeId::of::<FnPtr>(), type_name::<FnPtr>()));
    types
}

/// Waits for the result, and calls the closure in the turn of the connection that passed it: with the error and `()`,
/// or with `()` and the value.
async fn deliver(turn: Turn, (handler, of): (Arc<Handler>, u32), answer: Answer) {
    let answer = tokio::spawn(answer).await;
    let args = match answer.unwrap_or_else(|_| Err("the function panicked".to_owned())) {
        Ok(value) => vec![Dynamic::UNIT, value],
        Err(error) => vec![error.into(), Dynamic::UNIT],
    };
    let call = Call::new(handler, args, "closure of an asynchronous function", of);
    turn.connection.post_elsewhere(Work::Call(call));
}

fn refuse(message: String) -> Result<Dynamic, Box<EvalAltResult>> {
    Err(message.into())
}
