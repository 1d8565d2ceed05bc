//! The namespaces of a host, and the Socket.IO server that they are registered with.
//!
//! What must stay true: a namespace is registered with the server once, whatever is loaded into it later.
//!
//! Dynamic ones, such as `room/{id}.rhai`, have instances: `/room/1`, `/room/2` and so on, each with connections and
//! data of its own. An instance is registered before the Socket.IO crate sees the first CONNECT to it: the crate's own
//! way to make namespaces on demand loses one of two first clients that come at the same time.

use std::{
    collections::HashMap,
    fmt::Debug,
    pin::Pin,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::{Mutex, RwLock};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use crate::connection::{Connection, Driver, Namespace, Serving};

/// What a client hears whose namespace nothing serves.
pub(super) const INVALID_NAMESPACE: &str = "Invalid namespace";

/// An instance that nobody is in is kept for so long, for those who are on their way.
const KEPT_UNUSED: Duration = Duration::from_secs(30);

/// The Socket.IO server that namespaces are registered with.
pub(super) trait Backend: Debug + Send + Sync {
    /// Serves a namespace, once.
    fn register(&self, namespace: &Arc<Namespace>);

    /// Serves an instance of a dynamic namespace, once.
    fn register_instance(&self, instance: &Arc<Namespace>);

    /// Forgets a namespace that nobody is in.
    fn delete(&self, path: &str);

    /// Ends every connection, as far as they are the host's.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
}

/// Every namespace of a host.
#[derive(Debug)]
pub(crate) struct Namespaces {
    me: Weak<Self>,
    known: RwLock<Known>,
    /// With whom they are registered, once there is one. Held while one is registered or forgotten.
    backend: Mutex<Option<Arc<dyn Backend>>>,
    /// The most instances of each dynamic one.
    max_instances: usize,
    closing: CancellationToken,
}

#[derive(Debug, Default)]
struct Known {
    by_path: HashMap<Arc<str>, Arc<Namespace>>,
    /// Those with parameters in their paths, which are in `by_path` too.
    dynamic: Vec<Arc<Namespace>>,
}

impl Namespaces {
    pub(super) fn new(max_instances: usize, closing: CancellationToken) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            known: RwLock::default(),
            backend: Mutex::default(),
            max_instances,
            closing,
        })
    }

    /// A new namespace, known to the server from now on.
    pub(super) fn open(
        &self,
        path: &str,
        serving: Serving,
        driver: Arc<dyn Driver>,
    ) -> Arc<Namespace> {
        let namespace = Arc::new(Namespace::new(path, serving, driver));
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

    /// Takes the server that is to serve them; `false` when there is or was one already.
    pub(super) fn take_backend(&self, backend: Arc<dyn Backend>) -> bool {
        let mut current = self.backend.lock();
        let is_first = current.is_none() && !self.closing.is_cancelled();
        if is_first {
            *current = Some(backend);
        }
        is_first
    }

    /// Registers all that were there before the server.
    pub(super) fn register_all(&self) {
        let backend = self.backend.lock().clone();
        if let Some(backend) = backend {
            self.roots().iter().for_each(|one| backend.register(one));
        }
    }

    /// Takes the server away, which ends every connection.
    pub(super) async fn close(&self) {
        let backend = self.backend.lock().take();
        if let Some(backend) = backend {
            backend.close().await;
        }
    }

    /// Forgets every namespace.
    pub(super) fn clear(&self) {
        let known = std::mem::take(&mut *self.known.write());
        drop(known);
    }

    /// Those that files stand for: dynamic ones, and not their instances.
    pub(super) fn roots(&self) -> Vec<Arc<Namespace>> {
        self.known.read().by_path.values().cloned().collect()
    }

    /// Those that connections are in: instances, and not the dynamic ones they are of.
    pub(super) fn all(&self) -> Vec<Arc<Namespace>> {
        let mut all = self.all_paths();
        all.retain(|namespace| !namespace.is_dynamic());
        all
    }

    /// Those that a path stands for: dynamic ones, and their instances.
    pub(super) fn all_paths(&self) -> Vec<Arc<Namespace>> {
        let roots = self.roots();
        let instances: Vec<_> = roots.iter().flat_map(|root| root.instances()).collect();
        roots.into_iter().chain(instances).collect()
    }

    /// The namespace of a path, if it is served and no pattern.
    pub(super) fn served(&self, path: &str) -> Option<Arc<Namespace>> {
        self.find(path)
            .filter(|namespace| namespace.version().is_some())
    }

    /// The namespace or the instance that a path stands for now.
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

    /// The sockets that a client has, in whatever namespaces.
    pub(super) fn sockets_of(&self, client: &str) -> Vec<Arc<Connection>> {
        let known = self.known.read();
        let namespaces = known.by_path.values();
        namespaces
            .flat_map(|namespace| namespace.sockets_of(client))
            .collect()
    }

    /// What a client hears that a namespace does not take.
    pub(super) fn refusal(&self, serving: &Serving) -> Option<&'static str> {
        match serving {
            _ if self.closing.is_cancelled() => Some("server shutting down"),
            Serving::Version(_) => None,
            Serving::Broken => Some("script failed to load"),
            Serving::Gone => Some(INVALID_NAMESPACE),
        }
    }

    /// The namespace of a path. If a dynamic namespace has such instances, and no other namespace has the path, it is made
    /// if there is none.
    pub(super) fn ensure(&self, path: &str) -> Option<Arc<Namespace>> {
        let dynamic = {
            let known = self.known.read();
            if let Some(named) = known.by_path.get(path) {
                return Some(named.clone()).filter(|namespace| !namespace.is_dynamic());
            }
            known.dynamic.clone()
        };
        // Who asks at the same moment waits here until the instance is registered.
        let backend = self.backend.lock();
        let mut dynamic = dynamic
            .iter()
            .filter(|namespace| namespace.version().is_some());
        let (instance, is_new) =
            dynamic.find_map(|namespace| namespace.instance(path, self.max_instances))?;
        if is_new {
            if let Some(backend) = &*backend {
                backend.register_instance(&instance);
            }
            drop(backend);
            instance.load(None);
            // Whoever asked for it may be refused, and then nobody ever leaves it.
            self.forget_later(path);
        }
        Some(instance)
    }

    /// Forgets an instance after a while, if nobody is in it then.
    pub(super) fn forget_later(&self, path: &str) {
        let (namespaces, path) = (self.me.clone(), path.to_owned());
        tokio::spawn(async move {
            sleep_until(Instant::now() + KEPT_UNUSED).await;
            if let Some(namespaces) = namespaces.upgrade() {
                namespaces.forget(&path);
            }
        });
    }

    /// Has the server forget an instance that nobody is in.
    pub(super) fn delete(&self, path: &str) {
        let backend = self.backend.lock().clone();
        if let Some(backend) = backend {
            backend.delete(path);
        }
    }

    fn forget(&self, path: &str) {
        let dynamic = self.known.read().dynamic.clone();
        let backend = self.backend.lock();
        if dynamic.iter().any(|namespace| namespace.forget(path))
            && let Some(backend) = &*backend
        {
            backend.delete(path);
        }
    }
}
