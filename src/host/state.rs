//! What a host is made of. Each part does one thing and knows only the parts that it needs; nothing is done here.

use std::sync::Arc;

use super::{
    announce::{Announcer, Listener},
    dispatch::Dispatcher,
    lifecycle::Lifecycle,
    namespaces::Namespaces,
    options::Options,
    reload::Reloader,
    scripting::Scripting,
    socketio::handlers::ServerContext,
};

/// The parts of a host. Dropped with the last [`Host`](super::Host) and the last service of it.
#[derive(Debug)]
pub(crate) struct HostState {
    /// How it serves.
    pub(super) options: Arc<Options>,
    /// Tells what happens.
    pub(super) announcer: Arc<Announcer>,
    /// What clients connect to.
    pub(super) namespaces: Arc<Namespaces>,
    /// Calls the scripts.
    pub(super) dispatcher: Arc<Dispatcher>,
    /// Loads the scripts.
    pub(super) reloader: Arc<Reloader>,
    /// What the Socket.IO crate's handlers know of it.
    pub(super) server: Arc<ServerContext>,
    /// What it waits for before it ends.
    pub(super) lifecycle: Lifecycle,
}

impl HostState {
    pub(super) fn new(scripting: Scripting, options: Options, listeners: Vec<Listener>) -> Self {
        let options = Arc::new(options);
        let announcer = Announcer::new(listeners);
        let lifecycle = Lifecycle::new();
        let namespaces = Namespaces::new(options.max_namespaces, lifecycle.closing.clone());
        let decoding = scripting.limits.decoding();
        let reloader = Reloader::new(
            scripting,
            options.clone(),
            announcer.clone(),
            namespaces.clone(),
            lifecycle.clone(),
        );
        let dispatcher = reloader.dispatcher().clone();
        let server = ServerContext {
            options: options.clone(),
            announcer: announcer.clone(),
            namespaces: namespaces.clone(),
            dispatcher: dispatcher.clone(),
            lifecycle: lifecycle.clone(),
            decoding,
        };
        Self {
            options,
            announcer,
            namespaces,
            dispatcher,
            reloader,
            server: Arc::new(server),
            lifecycle,
        }
    }
}

impl Drop for HostState {
    /// A namespace's own unit and the namespace hold each other.
    fn drop(&mut self) {
        self.lifecycle.closing.cancel();
        for namespace in self.namespaces.all() {
            namespace.end_own();
        }
    }
}
