//! Asynchronous functions of the application, which pass their result to a closure of the script.

use std::{
    any::{TypeId, type_name},
    fmt::Display,
    pin::Pin,
    sync::{Arc, OnceLock},
};

use rhai::{Dynamic, FnPtr, NativeCallContext, RhaiFunc, Variant};

use tokio_util::{sync::CancellationToken, task::task_tracker::TaskTrackerToken};

use crate::{
    connection::{Call, Connection, Namespace, Turn, Work},
    event::HostEvent,
    script::{Handler, call_position, misuse, result_excess, running, with_position},
};

/// Type of a parameter, with its name.
pub(in crate::host) type Type = (TypeId, &'static str);

/// Future of the result of an asynchronous function. An error is its text.
pub(in crate::host) type Answer = Pin<Box<dyn Future<Output = Result<Dynamic, String>> + Send>>;

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
    hold: TestHold,
}

/// Guard that keeps a test waiting until the closure of a call has its result; empty if nothing waits for the call.
#[derive(Debug, Clone, Default)]
struct TestHold(Arc<OnceLock<TaskTrackerToken>>);

impl AsyncContext {
    pub(super) fn new(caller: &Caller<'_>) -> Self {
        let connection = caller.connection;
        Self {
            namespace: connection.namespace().clone(),
            socket: connection.socket().map(|_| connection.id().clone()),
            cancellation: connection.cancellation(),
            hold: caller.hold.clone(),
        }
    }

    /// Makes a test wait for the result of this call, whose closure then runs before the step of the test ends. It is
    /// for functions whose result comes from a thread of this process in a bounded time. A function that waits for a
    /// timer, a client or the end of its caller must not use this, because the clock of the test stands still
    /// meanwhile. Without a test, it has no effect: a close does not wait for such calls.
    pub(in crate::host) fn wait_in_tests(&self) {
        if let Some(token) = self.namespace.driver().test_hold() {
            // A call that already has a token keeps it.
            let _ = self.hold.0.set(token);
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
    /// Returns the namespace whose script has called the function.
    #[cfg(all(feature = "http", feature = "jwt"))]
    pub(in crate::host) fn namespace_of_caller(&self) -> &Namespace {
        &self.namespace
    }

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
    use super::{Answer, Connection, Dynamic, TestHold, Type};

    /// Caller of an asynchronous function.
    #[derive(Debug)]
    pub struct Caller<'a> {
        pub(super) connection: &'a Connection,
        pub(super) hold: &'a TestHold,
    }

    /// Function with these argument types.
    pub trait Begin<Args>: Send + Sync + 'static {
        /// Returns the types of the arguments, with the names of the types.
        fn types() -> Vec<Type>;

        /// Calls the function, and returns its future; `None` if the arguments do not have these types.
        fn begin(&self, caller: &Caller<'_>, args: Vec<Dynamic>) -> Option<Answer>;
    }
}

use sealed::Begin;
pub(super) use sealed::Caller;

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
            fn types() -> Vec<Type> {
                vec![$((TypeId::of::<$name>(), type_name::<$name>())),*]
            }

            #[allow(non_snake_case, unused_mut, unused_variables, reason = "for any number of arguments")]
            fn begin(&self, $caller: &Caller<'_>, args: Vec<Dynamic>) -> Option<Answer> {
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
) -> (Vec<Type>, RhaiFunc) {
    let types = types_of(&function);
    let mismatch = format!("`{name}` takes other types of arguments");
    let begin = move |caller: &Caller<'_>, args| {
        let answer = function.begin(caller, args);
        answer.ok_or_else(|| mismatch.clone())
    };
    (types, waiting(name, true, begin))
}

/// Returns the native function of the name, which `begin` begins. With `has_closure`, its last parameter is the closure
/// that receives the result.
pub(super) fn waiting(
    name: &str,
    has_closure: bool,
    begin: impl Fn(&Caller<'_>, Vec<Dynamic>) -> Result<Answer, String> + Send + Sync + 'static,
) -> RhaiFunc {
    let name = name.to_owned();
    let call = move |context: Option<NativeCallContext<'_>>, args: &mut [&mut Dynamic]| {
        let at = call_position(context.as_ref());
        let refuse = |problem: String| Err(with_position(misuse(problem), at));
        let Some(turn) = Turn::current() else {
            return refuse(format!(
                "`{name}` has no place at top level: call it in `on_load` or `on_connection`"
            ));
        };
        if turn.draft.is_some() {
            return Ok(Dynamic::UNIT);
        }
        let mut values: Vec<_> = args.iter_mut().map(|arg| arg.take()).collect();
        let handler = match has_closure {
            false => None,
            true => {
                let closure = values.pop().and_then(Dynamic::try_cast::<FnPtr>);
                let handler = closure
                    .zip(context)
                    .and_then(|(closure, context)| Handler::new(closure, &context));
                match handler {
                    Some(handler) => Some(Arc::new(handler)),
                    None => {
                        return refuse(format!("`{name}` takes a closure as its last argument"));
                    }
                }
            }
        };
        let limit = running().map_or(usize::MAX, |version| version.limits().pending_calls);
        let Some(pending) = PendingCall::begin(&turn.connection, limit) else {
            return refuse(format!(
                "`{name}`: {limit} calls of this socket wait for their results already (`--max-pending-calls`)"
            ));
        };
        let hold = TestHold::default();
        let caller = Caller {
            connection: &turn.connection,
            hold: &hold,
        };
        let answer = match begin(&caller, values) {
            Ok(answer) => answer,
            Err(problem) => return refuse(problem),
        };
        let of = turn.connection.beginnings();
        let delivery = deliver(turn, handler.map(|handler| (handler, of)), pending, answer);
        tokio::spawn(async move {
            delivery.await;
            drop(hold);
        });
        Ok(Dynamic::UNIT)
    };
    RhaiFunc::Pure {
        func: Arc::new(call),
        has_context: true,
        is_pure: true,
        is_volatile: true,
    }
}

fn types_of<Args, F: AsyncFunction<Args>>(_: &F) -> Vec<Type> {
    let mut types = F::types();
    types.push((TypeId::of::<FnPtr>(), type_name::<FnPtr>()));
    types
}

/// Waits for the result, and calls the closure, if there is one, in the turn of the connection that passed it: with the
/// error and `()`, or with `()` and the value.
async fn deliver(
    turn: Turn,
    handler: Option<(Arc<Handler>, u32)>,
    pending: PendingCall,
    answer: Answer,
) {
    let answer = tokio::spawn(answer).await;
    drop(pending);
    let Some((handler, of)) = handler else {
        return;
    };
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
