//! Dynamic namespaces: `room/{id}.rhai` serves `/room/1`, `/room/2` and so on, each with connections and data of its own.
//!
//! An instance is registered with the Socket.IO crate before the crate sees the first CONNECT to it: its own way to make
//! namespaces on demand loses one of two first clients that come at the same time.

use std::{sync::Arc, time::Duration};

use super::{Inner, socketio};
use crate::connection::Namespace;

/// An instance that nobody is in is kept for so long, for those who are on their way.
const KEPT_UNUSED: Duration = Duration::from_secs(30);

impl Inner {
    /// Registers a namespace with the server there is.
    pub(super) fn register(self: &Arc<Self>, namespace: &Arc<Namespace>) {
        if namespace.is_dynamic() {
            return;
        }
        if let Some(io) = &*self.lock_io() {
            socketio::register(io, self, namespace);
        }
    }

    /// Makes the instance of a path, if a dynamic namespace has such instances and no other namespace has the path.
    pub(super) fn ensure(self: &Arc<Self>, path: &str) {
        let namespaces = self.lock_namespaces().clone();
        if namespaces
            .iter()
            .any(|namespace| &**namespace.path() == path)
        {
            return;
        }
        // Who asks at the same moment waits here until the instance is registered.
        let io = self.lock_io();
        let mut dynamic = namespaces
            .iter()
            .filter(|namespace| namespace.version().is_some());
        let found =
            dynamic.find_map(|namespace| namespace.instance(path, self.options.max_namespaces));
        if let Some((instance, true)) = found {
            if let Some(io) = &*io {
                socketio::register(io, self, &instance);
            }
            drop(io);
            instance.load(None);
            // Whoever asked for it may be refused, and then nobody ever leaves it.
            self.forget_later(path);
        }
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

    fn forget(&self, path: &str) {
        let namespaces = self.lock_namespaces().clone();
        let io = self.lock_io();
        if namespaces.iter().any(|namespace| namespace.forget(path))
            && let Some(io) = &*io
        {
            io.delete_ns(path);
        }
    }
}
