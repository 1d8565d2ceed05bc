//! Sessions of a host, by their secret ids.

use std::{
    collections::HashMap,
    sync::{Arc, Weak},
};

use parking_lot::Mutex;

/// Sessions that exist, by their secret ids. A session adds itself when it is created, and removes itself when it is
/// dropped.
#[derive(Debug)]
pub(in crate::host) struct Sessions<T>(Mutex<HashMap<Arc<str>, Weak<T>>>);

impl<T> Default for Sessions<T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<T> Sessions<T> {
    /// Adds a session.
    pub(super) fn add(&self, sid: &Arc<str>, session: &Arc<T>) {
        self.0.lock().insert(sid.clone(), Arc::downgrade(session));
    }

    /// Returns the session with an id.
    pub(super) fn find(&self, sid: &str) -> Option<Arc<T>> {
        self.0.lock().get(sid).and_then(Weak::upgrade)
    }

    /// Removes a session.
    pub(super) fn remove(&self, sid: &str) {
        let mut sessions = self.0.lock();
        sessions.remove(sid);
        if sessions.len() < sessions.capacity() / 8 {
            let few = 2 * sessions.len();
            sessions.shrink_to(few);
        }
    }
}
