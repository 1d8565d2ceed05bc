//! How a host is made.

use std::{path::PathBuf, sync::Arc};

use rhai::{RhaiNativeFunc, Variant};

use super::{
    Host,
    announce::Listener,
    functions::{Functions, Signature, async_fn::AsyncFunction},
    options::Options,
    scripting::Scripting,
    state::HostState,
};
use crate::{
    api,
    event::HostEvent,
    script::{self, Folder, Loader},
};

/// Makes a [`Host`].
///
/// ```
/// use patchcord::{Host, script::Memory};
///
/// let scripts = Memory::from([("main.rhai", "fn on_connection(socket) { socket.emit(\"sum\", add(1, 2)); }")]);
/// let host = Host::builder().loader(scripts).function("add", |a: i64, b: i64| a + b).build();
/// ```
#[derive(Default)]
pub struct HostBuilder {
    loader: Option<Arc<dyn Loader>>,
    options: Options,
    listeners: Vec<Listener>,
    functions: Functions,
    modules: Vec<(String, Functions)>,
}

impl std::fmt::Debug for HostBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostBuilder")
            .field("loader", &self.loader)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}

impl HostBuilder {
    /// Serves the scripts of a folder, or one file as `/`. The default is the folder `scripts`.
    #[must_use]
    pub fn scripts(self, target: impl Into<PathBuf>) -> Self {
        self.loader(Folder::new(target))
    }

    /// Serves scripts from anywhere else: [`Memory`](crate::script::Memory), or a [`Loader`] of the program's own.
    #[must_use]
    pub fn loader(mut self, loader: impl Loader + 'static) -> Self {
        self.loader = Some(Arc::new(loader));
        self
    }

    /// Serves in this way.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Keeps versions with their texts in a folder, so that they are known after a restart: sets
    /// [`Options::history`], and is called after [`HostBuilder::options`].
    #[must_use]
    pub fn history(mut self, folder: impl Into<PathBuf>) -> Self {
        self.options.history = Some(folder.into());
        self
    }

    /// Calls `listener` with everything the host announces, on the thread where it happens: it must not wait.
    /// Without any listener the announcements go to [`tracing`].
    ///
    /// ```
    /// use std::sync::mpsc;
    /// use patchcord::{Host, HostEvent};
    ///
    /// let (failures, failed) = mpsc::channel();
    /// let host = Host::builder()
    ///     .on_event(move |event| {
    ///         if let HostEvent::HandlerFailed { diagnostic } = event {
    ///             // Nobody may be there to hear of it.
    ///             let _ = failures.send(diagnostic.clone());
    ///         }
    ///     })
    ///     .build();
    /// ```
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&HostEvent) + Send + Sync + 'static) -> Self {
        self.listeners.push(Box::new(listener));
        self
    }

    /// Measures the memory of script calls, for the limit [`call_memory`](crate::script::Limits::call_memory): `meter`
    /// returns what the present thread has allocated, less what it has freed. It is called often and must be cheap.
    ///
    /// A process has one allocator, so this holds for all of its hosts, and the first meter stays.
    ///
    /// ```
    /// # #[cfg(all(feature = "jemalloc", unix))] {
    /// use patchcord::Host;
    /// use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
    ///
    /// #[global_allocator]
    /// static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
    ///
    /// thread_local! {
    ///     static COUNTERS: Option<(ThreadLocal<u64>, ThreadLocal<u64>)> =
    ///         allocatedp::read().ok().zip(deallocatedp::read().ok());
    /// }
    ///
    /// fn net() -> u64 {
    ///     COUNTERS.with(|counters| counters.map_or(0, |(taken, freed)| taken.get().wrapping_sub(freed.get())))
    /// }
    ///
    /// let host = Host::builder().memory_meter(net).build();
    /// # }
    /// ```
    #[must_use]
    pub fn memory_meter(self, meter: fn() -> u64) -> Self {
        script::measure_by(meter);
        self
    }

    /// Gives scripts a function that changes nothing: drafts of a reload call it too. It runs in the script's call
    /// and must not block. Its first parameter may be a `&mut` of a type of the program's own: then it is a method of
    /// that type, and a property if it is called `get$name`.
    ///
    /// ```
    /// use patchcord::testing::TestHost;
    ///
    /// let script = "fn on_connection(socket) { socket.on(\"add\", |a, b| add(a, b)); }";
    /// let host = TestHost::build([("main.rhai", script)], |builder| {
    ///     builder.function("add(a, b)", |a: i64, b: i64| a + b)
    /// });
    /// assert_eq!(host.connect("/")?.ask("add", (1, 2)).as_deref(), Some("[3]"));
    /// # Ok::<(), patchcord::testing::Refused>(())
    /// ```
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
        self.functions = self.functions.function(signature, function);
        self
    }

    /// Gives scripts a function that changes something outside: a reload, which runs `on_connection` once more as a
    /// draft, skips it there and goes on with `()`. It runs in the script's call and must not block.
    ///
    /// ```
    /// use std::sync::atomic::{AtomicI64, Ordering::Relaxed};
    /// use patchcord::testing::TestHost;
    ///
    /// static VISITS: AtomicI64 = AtomicI64::new(0);
    ///
    /// let script = "fn on_connection(socket) { save_visit(); }";
    /// let mut host = TestHost::build([("main.rhai", script)], |builder| {
    ///     builder.effect("save_visit", || { VISITS.fetch_add(1, Relaxed); })
    /// });
    /// let _ada = host.connect("/")?;
    /// host.edit("main.rhai", "fn on_connection(socket) { save_visit(); socket.join(\"here\"); }");
    /// assert_eq!(VISITS.load(Relaxed), 1, "an edit is no visit");
    /// # Ok::<(), patchcord::testing::Refused>(())
    /// ```
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
        self.functions = self.functions.effect(signature, function);
        self
    }

    /// Gives scripts a function that waits, for a database or another service. In scripts it takes a closure as its last
    /// argument, which is called in the turn of the connection that gave it, with an error or with `()` and the value,
    /// unless that client has left meanwhile. A reload, which runs `on_connection` once more as a draft, skips it.
    ///
    /// ```
    /// # use patchcord::Host;
    /// let host = Host::builder()
    ///     .async_function("find_user(id)", |id: i64| async move { Ok::<_, String>(format!("user {id}")) })
    ///     .build();
    /// // In a script: find_user(7, |err, user| { socket.emit("user", user); });
    /// ```
    #[must_use]
    pub fn async_function<Args: 'static>(
        mut self,
        signature: impl Into<Signature>,
        function: impl AsyncFunction<Args>,
    ) -> Self {
        self.functions = self.functions.async_function(signature, function);
        self
    }

    /// Gives scripts functions under a name of their own: `db::find_user(7, ...)`.
    ///
    /// See [`Functions`] for an example.
    #[must_use]
    pub fn module(mut self, name: impl Into<String>, functions: Functions) -> Self {
        self.modules.push((name.into(), functions));
        self
    }

    /// The host. It serves nothing yet: see [`Host::load`] and [`Host::service`].
    pub fn build(self) -> Host {
        let limits = &self.options.limits;
        let mut engine = api::engine(limits).functions(self.functions.into_module());
        for (name, functions) in self.modules {
            engine = engine.module(&name, functions.into_module());
        }
        let (engine, known) = engine.build();
        let scripting = Scripting {
            engine: Arc::new(engine),
            known,
            limits: limits.clone(),
            loader: self
                .loader
                .unwrap_or_else(|| Arc::new(Folder::new("scripts"))),
        };
        Host {
            state: Arc::new(HostState::new(scripting, self.options, self.listeners)),
        }
    }
}
