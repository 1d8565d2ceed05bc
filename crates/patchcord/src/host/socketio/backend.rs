//! Registers the namespaces of a host with a `SocketIo`: the host's own, or one of the application.

use std::{
    collections::BTreeSet,
    pin::Pin,
    sync::{Arc, Weak},
};

use parking_lot::{Mutex, MutexGuard};
use socketioxide::{NsInsertError, SocketIo, adapter::Adapter};
use socketioxide_core::adapter::{DefinedAdapter, Spawnable};

use super::{
    attached::{
        self,
        cluster::{self, Remote},
        namespace_link::Broadcasts,
    },
    context::{HostMarker, ServerContext},
    recovery::Inherited,
    wired::{self, members::Members},
};
use crate::{
    connection::{Namespace, NamespacePattern},
    event::HostEvent,
    host::namespaces::Backend,
};

/// Owner of a `SocketIo`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::host) enum Owner {
    /// The host: nothing else has namespaces there, and its wires see a CONNECT before socketioxide does.
    Host,
    /// The application.
    Program,
}

/// Backend that serves the namespaces of a host on a `SocketIo`.
pub(in crate::host) struct SocketIoBackend<A: Adapter> {
    io: SocketIo<A>,
    owner: Owner,
    /// Weak, to avoid a reference cycle: the context holds the namespaces, which hold this backend.
    context: Weak<ServerContext>,
    /// Paths, and shapes of patterns, that the host serves.
    served: Mutex<BTreeSet<String>>,
}

impl<A: Adapter> std::fmt::Debug for SocketIoBackend<A> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SocketIoBackend")
            .field("owner", &self.owner)
            .finish_non_exhaustive()
    }
}

impl<A: Adapter> SocketIoBackend<A> {
    pub(in crate::host) fn new(
        io: SocketIo<A>,
        owner: Owner,
        context: &Arc<ServerContext>,
    ) -> Arc<Self> {
        Arc::new(Self {
            io,
            owner,
            context: Arc::downgrade(context),
            served: Mutex::default(),
        })
    }

    fn served(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.served.lock()
    }

    /// Returns the handler that accepts the clients of a namespace, or, for `None`, of all namespaces that socketioxide
    /// creates.
    fn connects(&self, namespace: Option<&Arc<Namespace>>) -> attached::handlers::Connects {
        let here = cluster::room(&self.io);
        attached::handlers::Connects::new(self.context.clone(), namespace, here)
    }

    /// Links a namespace of the host to that of socketioxide.
    fn link(&self, namespace: &Namespace) {
        let path = namespace.path();
        let announcer = self
            .context
            .upgrade()
            .map(|context| context.announcer.clone());
        namespace.set_link(Arc::new(Broadcasts {
            io: self.io.clone(),
            path: path.clone(),
            remote: announcer.and_then(|announcer| Remote::start(&self.io, path, &announcer)),
        }));
    }

    /// Lets socketioxide create the instances of a dynamic namespace, because on a `SocketIo` of the application the
    /// host does not see a CONNECT before socketioxide does. A pattern cannot be removed, so each shape is registered
    /// once, whatever the names of its parameters are.
    fn pattern(&self, pattern: &str) -> Result<(), NsInsertError> {
        let shape = NamespacePattern::new(pattern).shape().to_owned();
        if !self.served().insert(shape) {
            return Ok(());
        }
        self.io
            .dyn_ns::<_, HostMarker>(pattern, self.connects(None))
    }

    fn not_served(&self, path: &str, problem: &str) {
        if let Some(context) = self.context.upgrade() {
            context.announcer.announce(HostEvent::AttachWarning {
                error: format!("no script serves `{path}`: {problem}"),
            });
        }
    }
}

impl<A: Adapter + DefinedAdapter> SocketIoBackend<A> {
    /// Links a namespace, and accepts its clients.
    fn serve(&self, namespace: &Arc<Namespace>) {
        let path = namespace.path().to_string();
        match self.owner {
            Owner::Host => {
                let context = self.context.clone();
                let recovery = context.upgrade().and_then(|context| {
                    let recovery = context.recovery.clone()?;
                    let inherited = context.dispatcher.take_inherited(namespace.path());
                    Some((recovery, inherited.as_ref().and_then(Inherited::new)))
                });
                let members = Members::new(namespace.path(), recovery);
                namespace.set_link(members.clone());
                let connects = wired::handlers::Connects::new(context, namespace, members);
                self.io.ns::<_, HostMarker>(path, connects).spawn();
            }
            Owner::Program => {
                self.link(namespace);
                let connects = self.connects(Some(namespace));
                self.io.ns::<_, HostMarker>(path, connects).spawn();
            }
        }
    }
}

impl<A: Adapter + DefinedAdapter> Backend for SocketIoBackend<A> {
    fn register(&self, namespace: &Arc<Namespace>) {
        let path = namespace.path();
        match (namespace.is_dynamic(), self.owner) {
            // The wire registers instances when clients connect to them.
            (true, Owner::Host) => {}
            (true, Owner::Program) => {
                if let Err(error) = self.pattern(path) {
                    self.not_served(path, &error.to_string());
                }
            }
            (false, _) => {
                let is_taken = self.io.of(&**path).is_some();
                if !self.served().insert(path.to_string()) {
                    return;
                }
                match is_taken && self.owner == Owner::Program {
                    true => {
                        self.served().remove(&**path);
                        let taken = "the `SocketIo` has a namespace of this name already";
                        self.not_served(path, taken);
                    }
                    false => self.serve(namespace),
                }
            }
        }
    }

    fn register_instance(&self, instance: &Arc<Namespace>) {
        self.served().insert(instance.path().to_string());
        match self.owner {
            Owner::Host => self.serve(instance),
            // socketioxide has already created the namespace.
            Owner::Program => self.link(instance),
        }
    }

    fn delete(&self, path: &str) {
        self.served().remove(path);
        self.io.delete_ns(path);
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if self.owner == Owner::Host {
            return Box::pin(self.io.close());
        }
        let served = std::mem::take(&mut *self.served());
        for path in served {
            for socket in self.io.of(&path).into_iter().flat_map(|all| all.sockets()) {
                // An error is ignored, because the heartbeat closes a socket whose queue is full.
                let _ = socket.disconnect();
            }
            // socketioxide needs `/` for clients of the legacy protocol.
            if path != "/" {
                self.io.delete_ns(path);
            }
        }
        Box::pin(std::future::ready(()))
    }
}
