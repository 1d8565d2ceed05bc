//! Namespaces of a host, and the Socket.IO server that they are registered with.
//!
//! Invariant: a namespace is registered with the server once, even if later versions of its script are loaded.
//!
//! A dynamic namespace, such as `room/{id}.rhai`, has instances: `/room/1`, `/room/2` and so on. Each instance has
//! connections and data of its own. The host registers an instance before socketioxide sees the first CONNECT to it.
//! socketioxide can create namespaces on demand, but then loses one of the first two clients if they connect at the
//! same time.

use std::{
    collections::BTreeMap,
    fmt::Debug,
    net::IpAddr,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{announce::Announcer, lifecycle::SHUTTING_DOWN};
use crate::{
    connection::{Connection, Driver, Namespace, NamespacePattern, Reserved, Serving},
    diagnostic::is_hidden,
    event::{ConnectRefusal, HostEvent},
};

/// Error message for a client of a namespace that no version serves.
pub(super) const INVALID_NAMESPACE: &str = "Invalid namespace";

/// Time for which an instance without clients is kept, for clients that are about to connect.
const UNUSED_RETENTION: Duration = Duration::from_secs(30);

/// Socket.IO server with which namespaces are registered.
pub(super) trait Backend: Debug + Send + Sync {
    /// Registers a namespace, so that clients can connect to it. Called once for each namespace.
    fn register(&self, namespace: &Arc<Namespace>);

    /// Registers an instance of a dynamic namespace. Called once for each instance.
    fn register_instance(&self, instance: &Arc<Namespace>);

    /// Removes a namespace that has no clients.
    fn delete(&self, path: &str);

    /// Disconnects all clients of the host.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Namespaces of a host, with their instances.
#[derive(Debug)]
pub(crate) struct Namespaces {
    me: Weak<Self>,
    known: RwLock<Known>,
    /// Server with which the namespaces are registered; `None` before it is set. Locked while a namespace is registered
    /// or removed.
    backend: Mutex<Option<Arc<dyn Backend>>>,
    /// Maximum number of instances of each dynamic namespace.
    max_instances: usize,
    announcer: Arc<Announcer>,
    closing: CancellationToken,
}

#[derive(Debug, Default)]
struct Known {
    by_path: BTreeMap<Arc<str>, Arc<Namespace>>,
    /// Dynamic namespaces, which have parameters in their paths. They are in `by_path` too.
    dynamic: Vec<Arc<Namespace>>,
}

impl Namespaces {
    pub(super) fn new(
        max_instances: usize,
        announcer: Arc<Announcer>,
        closing: CancellationToken,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            known: RwLock::default(),
            backend: Mutex::default(),
            max_instances,
            announcer,
            closing,
        })
    }

    /// Creates a namespace, and registers it with the server if there is one. If no version serves the new namespace,
    /// and a dynamic namespace serves its path, the path stays with the dynamic namespace until [`Namespaces::claim`].
    pub(super) fn open(
        &self,
        path: &str,
        serving: Serving,
        driver: Arc<dyn Driver>,
    ) -> Arc<Namespace> {
        let namespace = Arc::new(Namespace::new(path, serving, driver));
        if namespace.version().is_none() && self.dynamic_of(path).is_some() {
            return namespace;
        }
        let mut known = self.known.write();
        if namespace.is_dynamic() {
            known.dynamic.push(namespace.clone());
        }
        known
            .by_path
            .insert(namespace.path().clone(), namespace.clone());
        drop(known);
        let backend = self.backend.lock().clone();
        if let Some(backend) = backend {
            backend.register(&namespace);
        }
        namespace
    }

    /// Sets the server for the namespaces. Returns `false` if a server is already set, or the host is closing.
    pub(super) fn take_backend(&self, backend: Arc<dyn Backend>) -> bool {
        let mut current = self.backend.lock();
        let is_first = current.is_none() && !self.closing.is_cancelled();
        if is_first {
            *current = Some(backend);
        }
        is_first
    }

    /// Registers all namespaces that were opened before the server was set.
    pub(super) fn register_all(&self) {
        let backend = self.backend.lock().clone();
        if let Some(backend) = backend {
            self.roots().iter().for_each(|one| backend.register(one));
        }
    }

    /// Removes the server, and disconnects all clients.
    pub(super) async fn close(&self) {
        let backend = self.backend.lock().take();
        if let Some(backend) = backend {
            backend.close().await;
        }
    }

    /// Removes every namespace.
    pub(super) fn clear(&self) {
        self.end_units();
        let known = std::mem::take(&mut *self.known.write());
        drop(known);
    }

    /// Closes the units of all namespaces for good, because a unit and its namespace reference each other.
    pub(super) fn end_units(&self) {
        for namespace in self.all() {
            namespace.end_presence();
            namespace.close_context();
        }
    }

    /// Assigns to a namespace the path that it is about to serve. If a dynamic namespace has served the path until
    /// then, the clients of that instance are disconnected. `script` is the script that serves the path from now on.
    pub(super) fn claim(&self, namespace: &Arc<Namespace>, script: &Arc<str>) {
        if namespace.is_dynamic() {
            return self.claim_all(namespace);
        }
        let path = namespace.path();
        // While the lock is held, no instance is created, and no CONNECT finds the namespace before it is registered.
        let backend = self.backend.lock();
        let dynamic = self.known.read().dynamic.clone();
        let instance = dynamic.iter().find_map(|one| one.remove_instance(path));
        let moved = instance.and_then(|instance| {
            let moved = displace(&instance, script);
            backend.iter().for_each(|server| server.delete(path));
            moved
        });
        backend.iter().for_each(|server| server.register(namespace));
        let mut known = self.known.write();
        known.by_path.insert(path.clone(), namespace.clone());
        drop((known, backend));
        if let Some(moved) = moved {
            self.announcer.announce(moved);
        }
    }

    /// Returns the event that [`Namespaces::claim`] would announce; `None` if no dynamic namespace has clients at the
    /// path.
    pub(super) fn would_move(&self, namespace: &Namespace, script: &Arc<str>) -> Option<HostEvent> {
        let known = self.known.read();
        let mut dynamic = known.dynamic.iter().filter(|_| !namespace.is_dynamic());
        let instance = dynamic.find_map(|one| one.existing_instance(namespace.path()))?;
        moved(&instance, instance.len(), script)
    }

    /// Assigns to a dynamic namespace the paths of namespaces without a version.
    fn claim_all(&self, dynamic: &Namespace) {
        let pattern = NamespacePattern::new(dynamic.path());
        let backend = self.backend.lock();
        self.known.write().by_path.retain(|path, named| {
            let is_unserved = !named.is_dynamic() && named.version().is_none();
            let is_claimed = is_unserved && pattern.parameters(path).is_some();
            if is_claimed {
                backend.iter().for_each(|server| server.delete(path));
            }
            !is_claimed
        });
    }

    /// Passes the path of a namespace that no longer has a version to the dynamic namespace that matches the path.
    /// Returns the script of the dynamic namespace; `None` if there is none.
    pub(super) fn release(&self, namespace: &Arc<Namespace>) -> Option<Arc<str>> {
        let path = namespace.path();
        let dynamic = self.dynamic_of(path).filter(|_| !namespace.is_dynamic())?;
        if self.has(namespace) {
            let backend = self.backend.lock();
            self.known.write().by_path.remove(path);
            backend.iter().for_each(|server| server.delete(path));
        }
        dynamic.version().map(|version| version.entry().clone())
    }

    /// Returns `true` if a namespace has its path, and no dynamic namespace has taken the path over.
    pub(super) fn has(&self, namespace: &Arc<Namespace>) -> bool {
        let known = self.known.read();
        let named = known.by_path.get(namespace.path());
        named.is_some_and(|named| Arc::ptr_eq(named, namespace))
    }

    /// Returns `true` if a namespace, or an instance, still has its path.
    pub(super) fn is_current(&self, namespace: &Arc<Namespace>) -> bool {
        let found = self.find(namespace.path());
        found.is_some_and(|found| Arc::ptr_eq(&found, namespace))
    }

    /// Returns the dynamic namespace that serves a path.
    fn dynamic_of(&self, path: &str) -> Option<Arc<Namespace>> {
        let known = self.known.read();
        let mut serving = known.dynamic.iter().filter(|one| one.version().is_some());
        let dynamic =
            serving.find(|one| NamespacePattern::new(one.path()).parameters(path).is_some());
        dynamic.cloned()
    }

    /// Returns the namespaces that files define: dynamic namespaces, but not their instances.
    pub(super) fn roots(&self) -> Vec<Arc<Namespace>> {
        self.known.read().by_path.values().cloned().collect()
    }

    /// Returns the namespaces that can have connections: instances, but not their dynamic namespaces.
    pub(super) fn all(&self) -> Vec<Arc<Namespace>> {
        let mut all = self.all_paths();
        all.retain(|namespace| !namespace.is_dynamic());
        all
    }

    /// Returns all namespaces, both dynamic namespaces and their instances.
    pub(super) fn all_paths(&self) -> Vec<Arc<Namespace>> {
        let roots = self.roots();
        let instances: Vec<_> = roots.iter().flat_map(|root| root.instances()).collect();
        roots.into_iter().chain(instances).collect()
    }

    /// Returns the namespace or the instance of a path, if a version serves it.
    pub(super) fn served(&self, path: &str) -> Option<Arc<Namespace>> {
        self.find(path)
            .filter(|namespace| namespace.version().is_some() && namespace.data().is_ready())
    }

    /// Returns the namespace or the instance of a path, if a version serves it; `Some(None)` if a dynamic namespace
    /// serves the path, but has no instance there.
    pub(super) fn at(&self, path: &str) -> Option<Option<Arc<Namespace>>> {
        if let Some(namespace) = self.served(path) {
            return Some(Some(namespace));
        }
        let is_named = self.known.read().by_path.contains_key(path);
        let is_dynamic = !is_named && !path.contains(is_hidden) && self.dynamic_of(path).is_some();
        is_dynamic.then_some(None)
    }

    /// Returns the namespace or the existing instance of a path.
    pub(super) fn find(&self, path: &str) -> Option<Arc<Namespace>> {
        let known = self.known.read();
        match known.by_path.get(path) {
            Some(namespace) => Some(namespace.clone()).filter(|one| !one.is_dynamic()),
            None => {
                let mut dynamic = known.dynamic.iter();
                dynamic.find_map(|namespace| namespace.existing_instance(path))
            }
        }
    }

    /// Returns the sockets with the id `client` in all namespaces.
    pub(super) fn sockets_of(&self, client: &str) -> Vec<Arc<Connection>> {
        let known = self.known.read();
        let namespaces = known.by_path.values();
        namespaces
            .flat_map(|namespace| namespace.sockets_of(client))
            .collect()
    }

    /// Returns the error message for a client, if a namespace in this state rejects clients.
    pub(super) fn refusal(&self, serving: &Serving) -> Option<&'static str> {
        self.refuses(serving).map(|kind| match kind {
            ConnectRefusal::Closing => SHUTTING_DOWN,
            ConnectRefusal::NotLoaded => "script failed to load",
            _ => INVALID_NAMESPACE,
        })
    }

    /// Returns the kind of the refusal, if a namespace in this state rejects clients.
    fn refuses(&self, serving: &Serving) -> Option<ConnectRefusal> {
        match serving {
            _ if self.closing.is_cancelled() => Some(ConnectRefusal::Closing),
            Serving::Version(_) => None,
            Serving::Broken => Some(ConnectRefusal::NotLoaded),
            Serving::Gone => Some(ConnectRefusal::InvalidNamespace),
        }
    }

    /// Returns `true` if the host is closing.
    pub(super) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// Returns the namespace for a client's CONNECT, and reserves it for the client. Creates an instance if a dynamic
    /// namespace matches the path, and no other namespace has the path. Announces a rejected CONNECT, so it must be
    /// called only once for each CONNECT.
    pub(super) fn ensure(&self, path: &str) -> Option<Reserved> {
        self.ensure_for(path, None)
    }

    /// Does the same as [`Namespaces::ensure`], with the address of the client for the announcement.
    pub(super) fn ensure_for(&self, path: &str, address: Option<IpAddr>) -> Option<Reserved> {
        let found = self.resolve(path);
        let refusal = match &found {
            Ok(namespace) => self.refuses(&namespace.serving()),
            Err(refusal) => Some(*refusal),
        };
        if let Some(kind) = refusal {
            self.announcer
                .announce(HostEvent::connect_refused(path, address, kind));
        }
        found.ok()
    }

    fn resolve(&self, path: &str) -> Result<Reserved, ConnectRefusal> {
        let dynamic = {
            let known = self.known.read();
            if let Some(named) = known.by_path.get(path) {
                return match named.is_dynamic() {
                    true => Err(ConnectRefusal::InvalidNamespace),
                    false => Ok(named.reserve()),
                };
            }
            known.dynamic.clone()
        };
        if self.closing.is_cancelled() {
            let existing = dynamic.iter().find_map(|one| one.existing_instance(path));
            let existing = existing.map(|instance| instance.reserve());
            return existing.ok_or(ConnectRefusal::Closing);
        }
        // A second request for the same path waits here until the instance is registered.
        let backend = self.backend.lock();
        // In the meantime, a file may have been loaded for the path.
        if let Some(named) = self.known.read().by_path.get(path) {
            return Ok(named.reserve());
        }
        let mut dynamic = dynamic
            .iter()
            .filter(|namespace| namespace.version().is_some());
        let instance =
            |namespace: &Arc<Namespace>| match namespace.instance(path, self.max_instances) {
                Some(Err(ConnectRefusal::NamespaceLimit)) => {
                    // Instances without clients are removed, so that clients that come and go do not lock out others.
                    let unused = namespace.reclaim();
                    let server = backend.iter();
                    server.for_each(|server| unused.iter().for_each(|path| server.delete(path)));
                    namespace.instance(path, self.max_instances)
                }
                found => found,
            };
        let (instance, is_new) = dynamic
            .find_map(instance)
            .unwrap_or(Err(ConnectRefusal::InvalidNamespace))?;
        let reserved = instance.reserve();
        if is_new {
            if let Some(backend) = &*backend {
                backend.register_instance(&instance);
            }
            drop(backend);
            instance.load(None);
            // The client may still be rejected. Then no client ever leaves the instance, so nothing else would remove
            // it.
            self.forget_later(path);
        }
        Ok(reserved)
    }

    /// Removes an instance after [`UNUSED_RETENTION`], if it has no clients then.
    pub(super) fn forget_later(&self, path: &str) {
        // A closing host removes all instances by itself, and there may be no runtime any more.
        if self.closing.is_cancelled() {
            return;
        }
        let (namespaces, path) = (self.me.clone(), path.to_owned());
        tokio::spawn(async move {
            sleep_until(Instant::now() + UNUSED_RETENTION).await;
            if let Some(namespaces) = namespaces.upgrade() {
                namespaces.forget(&path);
            }
        });
    }

    /// Removes an instance without clients from the server.
    pub(super) fn delete(&self, path: &str) {
        let backend = self.backend.lock().clone();
        if let Some(backend) = backend {
            backend.delete(path);
        }
    }

    fn forget(&self, path: &str) {
        let dynamic = {
            let known = self.known.read();
            // A file was loaded for the path.
            if known.by_path.contains_key(path) {
                return;
            }
            known.dynamic.clone()
        };
        let backend = self.backend.lock();
        if dynamic.iter().any(|namespace| namespace.forget(path))
            && let Some(backend) = &*backend
        {
            backend.delete(path);
        }
    }
}

/// Disconnects the clients of an instance whose path `script` serves from now on. Returns the event, if there were
/// clients.
fn displace(instance: &Namespace, script: &Arc<str>) -> Option<HostEvent> {
    let connections = instance.connections();
    for connection in &connections {
        connection.disconnect(false);
    }
    // Otherwise the clients that leave would create the unit again.
    instance.end_presence();
    instance.close_context();
    moved(instance, connections.len(), script)
}

/// Returns the event of an instance whose path `script` serves from now on, if it has clients.
fn moved(instance: &Namespace, clients: usize, script: &Arc<str>) -> Option<HostEvent> {
    let from = instance.version().filter(|_| clients > 0)?;
    Some(HostEvent::Moved {
        namespace: instance.path().clone(),
        from: from.entry().clone(),
        to: script.clone(),
        clients,
    })
}
