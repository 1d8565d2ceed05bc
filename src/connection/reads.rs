//! Which keys of shared data the running call has read, and in which state.

use std::{cell::RefCell, sync::Arc};

use rhai::Identifier;

use super::Data;

thread_local! {
    static READS: RefCell<Vec<(usize, Identifier, u64)>> = const { RefCell::new(Vec::new()) };
}

/// Remembers the state in which the call has read, or left, a key.
pub fn remember(data: &Arc<Data>, key: &str, stamp: u64) {
    let place = Arc::as_ptr(data).addr();
    READS.with_borrow_mut(|reads| {
        match reads.iter_mut().find(|(at, k, _)| *at == place && k == key) {
            Some(read) => read.2 = stamp,
            None => reads.push((place, key.into(), stamp)),
        }
    });
}

/// The state in which the call has read a key last.
pub fn stamp(data: &Arc<Data>, key: &str) -> Option<u64> {
    let place = Arc::as_ptr(data).addr();
    READS.with_borrow(|reads| {
        reads
            .iter()
            .find(|(at, k, _)| *at == place && k == key)
            .map(|read| read.2)
    })
}

/// The call has changed a key without reading it first.
pub fn overwritten(data: &Arc<Data>, key: &str) {
    let place = Arc::as_ptr(data).addr();
    READS.with_borrow_mut(|reads| reads.retain(|(at, k, _)| *at != place || k != key));
}

/// Another call begins.
pub(super) fn forget() {
    READS.with_borrow_mut(Vec::clear);
}
