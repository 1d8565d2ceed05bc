//! Parts of a host, assembled. Each part does one thing, and knows only the parts that it needs.

mod close;

use std::sync::Arc;

use super::{
    announce::{Announcer, Listener},
    dispatch::Dispatcher,
    lifecycle::Lifecycle,
    namespaces::Namespaces,
    options::Options,
    reload::Reloader,
    scripting::Scripting,
    services::Services,
    socketio::{context::ServerContext, recovery::Recovery},
    store::{Store, StoredData},
    transport::cors::Cors,
};

/// Parts of a host. They are dropped with the last [`Host`](super::Host) and its last service.
#[derive(Debug)]
pub(crate) struct HostState {
    /// Options of the host.
    pub(super) options: Arc<Options>,
    /// Announcer of events.
    pub(super) announcer: Arc<Announcer>,
    /// Namespaces that clients connect to.
    pub(super) namespaces: Arc<Namespaces>,
    /// Dispatcher, which calls the scripts.
    pub(super) dispatcher: Arc<Dispatcher>,
    /// Reloader, which loads the scripts.
    pub(super) reloader: Arc<Reloader>,
    /// Context of the handlers that socketioxide calls.
    pub(super) server: Arc<ServerContext>,
    /// Check that decides which pages may connect.
    pub(super) cors: Arc<Cors>,
    /// Services that scripts call.
    pub(super) services: Arc<Services>,
    /// Data that a store saves; `None` without a store.
    pub(super) stored: Option<Arc<StoredData>>,
    /// Signal to close, and the work that a close waits for.
    pub(super) lifecycle: Lifecycle,
}

impl HostState {
    pub(super) fn new(
        scripting: Scripting,
        (services, store): (Arc<Services>, Option<Arc<dyn Store>>),
        options: Options,
        listeners: Vec<Listener>,
    ) -> Self {
        let options = Arc::new(options);
        let announcer = Announcer::new(listeners);
        let stored =
            store.map(|store| StoredData::new(store, options.data.clone(), announcer.clone()));
        let lifecycle = Lifecycle::new(services.clock.clone());
        let namespaces = Namespaces::new(
            options.clients.max_namespaces,
            announcer.clone(),
            lifecycle.closing.clone(),
        );
        let decoding = scripting.limits.decoding();
        let reloader = Reloader::new(
            scripting,
            options.clone(),
            announcer.clone(),
            namespaces.clone(),
            lifecycle.clone(),
            stored.clone(),
        );
        let dispatcher = reloader.dispatcher().clone();
        let server = ServerContext {
            options: options.clone(),
            announcer: announcer.clone(),
            namespaces: namespaces.clone(),
            dispatcher: dispatcher.clone(),
            lifecycle: lifecycle.clone(),
            decoding,
            recovery: Recovery::new(&options, stored.is_some(), lifecycle.closing.clone()),
        };
        let cors = Cors::new(&options, announcer.clone());
        Self {
            options,
            announcer,
            namespaces,
            dispatcher,
            reloader,
            server: Arc::new(server),
            cors: Arc::new(cors),
            services,
            stored,
            lifecycle,
        }
    }
}

impl Drop for HostState {
    fn drop(&mut self) {
        // A reload that still runs is the last one. It cleans up what it has begun: see `Drop` of `Reloader`.
        self.lifecycle.closing.cancel();
    }
}
