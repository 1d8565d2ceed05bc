//! Asynchronous functions of the application, which pass their result to a closure of the script.

use std::{
    any::{TypeId, type_name},
    fmt::Display,
    pin::Pin,
    sync::Arc,
};

use rhai::{Dynamic, FnPtr, NativeCallContext, RhaiFunc, Variant};

use tokio_util::sync::CancellationToken;

use crate::{
    connection::{Call, Connection, Namespace, Turn, Work},
    event::HostEvent,
    script::{Handler, call_position, result_excess, with_position},
};

/// Future of the result of an asynchronous function. An error is its text.
type Answer = Pin<Box<dyn Future<Output = Result<Dynamic, String>> + Send>>;

/// Context of a call of an asynchronous function: its caller. It is an optional first parameter of the function, which
/// scripts do not pass.
///
/// ```
/// use patchcord::{Host, host::AsyncContext};
///
/// let host = Host::builder()
///     .async_function("wait_for(key)", |context: AsyncContext, key: String| async move {
///         tokio::select! {
///             // Here the application would ask a database.
///             value = std::future::ready(key) => Ok(value),
///             () = context.cancelled() => Err("the client has left"),
///         }
///     })
///     .build();
/// ```
#[derive(Debug)]
pub struct AsyncContext {
    namespace: Arc<Namespace>,
    socket: Option<Arc<str>>,
    cancellation: CancellationToken,
}

impl AsyncContext {
    fn new(connection: &Connection) -> Self {
        Self {
            namespace: connection.namespace().clone(),
            socket: connection.socket().map(|_| connection.id().clone()),
            cancellation: connection.cancellation(),
        }
    }

    /// Returns the path of the namespace whose script has called the function, such as `/chat`.
    pub fn namespace(&self) -> &str {
        self.namespace.path()
    }

    /// Returns the id of the socket that made the call; `None` for a call from `on_load`, or from a timer that
    /// `on_load` has set.
    pub fn socket(&self) -> Option<&str> {
        self.socket.as_deref()
    }

    /// Waits until the socket has disconnected, so that nothing waits for the result any more. A function that does not
    /// use this runs to its end, whatever happens to its caller.
    pub async fn cancelled(&self) {
        self.cancellation.cancelled().await;
    }

    /// Returns `true` once the socket has disconnected.
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }

    #[cfg_attr(
        not(feature = "sql"),
        allow(dead_code, reason = "there may be no such service")
    )]
    /// Counts a call of a service, such as `http::get`, and announces its failure. `target` names the other side.
    pub(in crate::host) fn served<T>(
        &self,
        service: &'static str,
        target: &str,
        result: Result<T, String>,
    ) -> Result<T, String> {
        let driver = self.namespace.driver();
        driver.counters().service_calls.add();
        result.inspect_err(|error| {
            driver.announce(HostEvent::ServiceFailed {
                namespace: self.namespace.path().clone(),
                socket: self.socket.as_deref().map(str::to_owned),
                service: service.to_owned(),
                target: target.to_owned(),
                error: error.clone(),
            });
        })
    }
}

/// `async` function or closure with up to eight parameters that returns a `Result` whose error implements [`Display`].
/// Its first parameter may be an [`AsyncContext`], which is not counted. The trait is implemented for all such
/// functions, and cannot be implemented for other types.
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
    use super::{Answer, Connection, Dynamic, TypeId};

    /// Function with these argument types.
    pub trait Begin<Args>: Send + Sync + 'static {
        /// Returns the types of the arguments, with the names of the types.
        fn types() -> Vec<(TypeId, &'static str)>;

        /// Calls the function, and returns its future; `None` if the arguments do not have these types.
        fn begin(&self, caller: &Connection, args: Vec<Dynamic>) -> Option<Answer>;
    }
}

use sealed::Begin;

macro_rules! async_function {
    ($($name:ident),*) => {
        async_function!(@ ($($name,)*), caller, [] $($name),*);
        async_function!(@ (AsyncContext, $($name,)*), caller, [AsyncContext::new(caller)] $($name),*);
    };
    (@ ($($arg:ty,)*), $caller:ident, [$($context:expr)?] $($name:ident),*) => {
        impl<F, Fut, R, E, $($name),*> Begin<($($arg,)*)> for F
        where
            F: Fn($($arg),*) -> Fut + Send + Sync + 'static,
            Fut: Future<Output = Result<R, E>> + Send + 'static,
            R: Variant + Clone,
            E: Display,
            $($name: Variant + Clone,)*
        {
            fn types() -> Vec<(TypeId, &'static str)> {
                vec![$((TypeId::of::<$name>(), type_name::<$name>())),*]
            }

            #[allow(non_snake_case, unused_mut, unused_variables, reason = "for any number of arguments")]
            fn begin(&self, $caller: &Connection, args: Vec<Dynamic>) -> Option<Answer> {
                let mut args = args.into_iter();
                $(let $name = args.next()?.try_cast::<$name>()?;)*
                let future = self($($context,)? $($name),*);
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
async_function!(A, B, C, D, G);
async_function!(A, B, C, D, G, H);
async_function!(A, B, C, D, G, H, I);
async_function!(A, B, C, D, G, H, I, J);

/// Call for whose result a closure waits. It counts until it is dropped.
struct PendingCall(Arc<Connection>);

impl PendingCall {
    /// Counts a call. Returns `None` if as many calls as `most` are pending.
    fn begin(connection: &Arc<Connection>, most: usize) -> Option<Self> {
        connection
            .begin_pending_call(most)
            .then(|| Self(connection.clone()))
    }
}

impl Drop for PendingCall {
    fn drop(&mut self) {
        self.0.end_pending_call();
    }
}

/// Returns the native function of the name, and the types of its parameters. Its last parameter is the closure.
pub(super) fn native<Args: 'static>(
    name: &str,
    function: impl AsyncFunction<Args>,
) -> (Vec<(TypeId, &'static str)>, RhaiFunc) {
    let types = types_of(&function);
    let name = name.to_owned();
    let call = move |context: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| {
        let at = call_position(context.as_ref());
        let refuse = |message: String| Err(with_position(message.into(), at));
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
        let Some(handler) = handler else {
            return refuse(format!("`{name}` takes a closure as its last argument"));
        };
        let most = handler.version().limits().pending_calls;
        let Some(pending) = PendingCall::begin(&turn.connection, most) else {
            return refuse(format!(
                "`{name}`: {most} calls of this socket wait for their results already, which is the limit"
            ));
        };
        let Some(answer) = function.begin(&turn.connection, values) else {
            return refuse(format!("`{name}` takes other types of arguments"));
        };
        let of = turn.connection.beginnings();
        tokio::spawn(deliver(turn, (Arc::new(handler), of), pending, answer));
        Ok(Dynamic::UNIT)
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
async fn deliver(
    turn: Turn,
    (handler, of): (Arc<Handler>, u32),
    pending: PendingCall,
    answer: Answer,
) {
    let answer = tokio::spawn(answer).await;
    drop(pending);
    let answer = answer.unwrap_or_else(|_| Err("the function panicked".to_owned()));
    let limits = turn
        .connection
        .version()
        .map(|version| version.limits().clone());
    let answer = answer.and_then(|value| {
        let excess = limits.and_then(|limits| result_excess(&value, &limits));
        excess.map_or(Ok(value), Err)
    });
    let args = match answer {
        Ok(value) => vec![Dynamic::UNIT, value],
        Err(error) => vec![error.into(), Dynamic::UNIT],
    };
    let call = Call::new(handler, args, "closure of an asynchronous function", of);
    turn.connection.post_elsewhere(Work::Call(call));
}
