//! Dynamic namespaces: `room/{id}.rhai` serves `/room/1`, `/room/2` and so on, each with connections and data of its own.
//!
//! An instance is registered with the Socket.IO crate before the crate sees the first CONNECT to it: its own way to make
//! namespaces on demand loses one of two first clients that come at the same time.

use std::{sync::Arc, time::Duration};

use super::Inner;
use crate::connection::Namespace;

/// An instance that nobody is in is kept for so long, for those who are on their way.
const KEPT_UNUSED: Duration = Duration::from_secs(30);

impl Inner {
    /// Registers a namespace with the server there is.
    pub(super) fn register(self: &Arc<Self>, namespace: &Arc<Namespace>) {
        let server = self.lock_io().clone();
        if let Some(server) = server {
            server.register(self, namespace);
        }
    }

    /// The namespace of a path. If a dynamic namespace has such instances, and no other namespace has the path, it is made
    /// if there is none.
    pub(super) fn ensure(self: &Arc<Self>, path: &str) -> Option<Arc<Namespace>> {
        let namespaces = self.lock_namespaces().clone();
        let named = namespaces
            .iter()
            .find(|namespace| &**namespace.path() == path);
        if let Some(namespace) = named {
            return Some(namespace.clone()).filter(|namespace| !namespace.is_dynamic());
        }
        // Who asks at the same moment waits here until the instance is registered.
        let server = self.lock_io();
        let mut dynamic = namespaces
            .iter()
            .filter(|namespace| namespace.version().is_some());
        let (instance, is_new) =
            dynamic.find_map(|namespace| namespace.instance(path, self.options.max_namespaces))?;
        if is_new {
            if let Some(server) = &*server {
                server.register_instance(self, &instance);
            }
            drop(server);
            instance.load(None);
            // Whoever asked for it may be refused, and then nobody ever leaves it.
            self.forget_later(path);
        }
        Some(instance)
    }

    /// Forgets an instance after a while, if nobody is in it then.
    pub(super) fn forget_later(self: &Arc<Self>, path: &str) {
        let (host, path) = (Arc::downgrade(self), path.to_owned());
        tokio::spawn(async move {
            tokio::time::sleep_until(tokio::time::Instant::now() + KEPT_UNUSED).await;
            if let Some(host) = host.upgrade() {
                host.forget(&path);
            }
        });
    }

    /// Has the server forget an instance that nobody is in.
    pub(super) fn delete(&self, path: &str) {
        let server = self.lock_io().clone();
        if let Some(server) = server {
            server.delete(path);
        }
    }

    fn forget(&self, path: &str) {
        let namespaces = self.lock_namespaces().clone();
        let server = self.lock_io();
        if namespaces.iter().any(|namespace| namespace.forget(path))
            && let Some(server) = &*server
        {
            server.delete(path);
        }
    }
}
