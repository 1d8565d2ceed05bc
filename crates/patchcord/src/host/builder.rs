//! Builds a [`Host`].

use std::{path::PathBuf, sync::Arc};

use super::{
    Host,
    announce::Listener,
    functions::{Function, Functions, Signature, async_fn::AsyncFunction},
    options::Options,
    scripting::Scripting,
    services::Services,
    state::HostState,
    store::{self, Store},
};
use crate::{
    event::HostEvent,
    script::{Folder, Loader},
};

/// Builder of a [`Host`], returned by [`Host::builder`].
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
    in_test: bool,
    store: Option<Arc<dyn Store>>,
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
    /// Serves the scripts of a folder, or one file as the namespace `/`. The default is the folder `scripts`.
    #[must_use]
    pub fn scripts(self, target: impl Into<PathBuf>) -> Self {
        self.loader(Folder::new(target))
    }

    /// Serves scripts from another source: from [`Memory`](crate::script::Memory), or from a [`Loader`] of the
    /// application. Replaces [`HostBuilder::scripts`].
    #[must_use]
    pub fn loader(mut self, loader: impl Loader + 'static) -> Self {
        self.loader = Some(Arc::new(loader));
        self
    }

    /// Sets all options of the host at once.
    #[must_use]
    pub fn options(mut self, options: Options) -> Self {
        self.options = options;
        self
    }

    /// Keeps versions with their texts in a folder, so that the host knows them after a restart. This sets
    /// [`ReloadOptions::history`](super::ReloadOptions::history), so call it after [`HostBuilder::options`], which
    /// replaces all options.
    #[must_use]
    pub fn history(mut self, folder: impl Into<PathBuf>) -> Self {
        self.options.reload.history = Some(folder.into());
        self
    }

    /// Adds a listener, which is called with every event that the host announces. It is called on the thread on which
    /// the event happens, so it must not block. A panic of a listener is caught. Without a listener, and without a
    /// subscriber ([`Host::subscribe`]), the events go to [`tracing`].
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

    /// Adds a function without side effects that scripts can call. The drafts of a reload call it too. It runs inside
    /// the script call and must not block.
    ///
    /// Its first parameter may be `&mut` of a type of the application. In that case, the function is a method of that
    /// type, or a property if its name is `get$name`.
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
    pub fn function<Args: 'static>(
        mut self,
        signature: impl Into<Signature>,
        function: impl Function<Args>,
    ) -> Self {
        self.functions = self.functions.function(signature, function);
        self
    }

    /// Adds a function with side effects that scripts can call, such as a write to a database. The drafts of a reload,
    /// which run `on_connection` again, skip the function: in a draft, it returns `()`. It runs inside the script call
    /// and must not block. It cannot be called at the top level of a script.
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
    pub fn effect<Args: 'static>(
        mut self,
        signature: impl Into<Signature>,
        function: impl Function<Args>,
    ) -> Self {
        self.functions = self.functions.effect(signature, function);
        self
    }

    /// Adds an `async` function that scripts can call, for a database or another service. The script call does not wait
    /// for it: the script passes a closure as an additional last argument. When the future is ready, the host calls the
    /// closure for the connection that made the call: with `(error, ())`, or with `((), value)`. It does not call the
    /// closure if the client has disconnected in the meantime, or after [`Host::rebind`](crate::Host::rebind). The
    /// drafts of a reload skip the function. It cannot be called at the top level of a script.
    ///
    /// The host spawns the future on the Tokio runtime. A panic in the future counts as an error.
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

    /// Adds functions that scripts call as members of a module: `db::find_user(7, ...)` for the name `db`.
    ///
    /// [`Functions`] has an example.
    #[must_use]
    pub fn module(mut self, name: impl Into<String>, functions: Functions) -> Self {
        self.modules.push((name.into(), functions));
        self
    }

    /// Keeps `io.data` of all namespaces in a store, over a restart. It is read before `on_load` runs, and saved every
    /// [`DataOptions::save_every`](super::DataOptions::save_every). This replaces the file of
    /// [`DataOptions::file`](super::DataOptions::file).
    ///
    #[cfg_attr(
        feature = "store",
        doc = "```",
        doc = "use patchcord::{Host, store::RedbStore};",
        doc = "",
        doc = "# let folder = tempfile::tempdir()?;",
        doc = "let store = RedbStore::open(folder.path().join(\"state.redb\"))?;",
        doc = "let host = Host::builder().store(store).build();",
        doc = "# Ok::<(), Box<dyn std::error::Error>>(())",
        doc = "```"
    )]
    #[must_use]
    pub fn store(mut self, store: impl Store + 'static) -> Self {
        self.store = Some(Arc::new(store));
        self
    }

    /// Replaces the services that scripts call, such as `env`, with stand-ins that a test sets.
    #[cfg(feature = "testing")]
    pub(crate) fn in_test(mut self) -> Self {
        self.in_test = true;
        self
    }

    /// Builds the host. The host does not load or serve anything yet: see [`Host::load`] and [`Host::service`].
    ///
    /// # Panics
    /// Panics if an option has an invalid value; [`Options::validate`] returns the same problem as an error.
    #[allow(
        clippy::panic,
        reason = "a mistake of the application, which its first start shows"
    )]
    pub fn build(self) -> Host {
        if let Err(invalid) = self.options.validate() {
            panic!("{invalid}");
        }
        let store = self.store.or_else(|| store::of(&self.options.data));
        let services = Services::new(&self.options, self.in_test);
        let engine = services.engine(&self.options);
        let mut engine = engine.functions(self.functions.into_module());
        for (name, functions) in self.modules {
            engine = engine.module(&name, functions.into_module());
        }
        let (engine, known) = engine.build();
        let scripting = Scripting {
            engine: Arc::new(engine),
            known,
            limits: self.options.limits.clone(),
            loader: self
                .loader
                .unwrap_or_else(|| Arc::new(Folder::new("scripts"))),
        };
        Host {
            state: Arc::new(HostState::new(
                scripting,
                (services, store),
                self.options,
                self.listeners,
            )),
        }
    }
}
