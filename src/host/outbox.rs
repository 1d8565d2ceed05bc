//! What script calls send leaves when they have ended: one write for all of it, and not one for each event.

use std::{cell::RefCell, sync::Arc};

use rhai::StaticVec;

use super::wire::Wire;

/// So many clients are written to by the thread that sent; more are left to tasks, which take so many each.
const AT_ONCE: usize = 64;

thread_local! {
    /// The wires that something waits in; `None` while nothing collects them.
    static WAITING: RefCell<Option<StaticVec<Arc<Wire>>>> = const { RefCell::new(None) };
}

/// Does some work, and lets what it sends leave afterwards. What it sends to `reader` leaves with the next read from it,
/// which must follow.
pub(super) fn collect<T>(reader: Option<&Arc<Wire>>, work: impl FnOnce() -> T) -> T {
    if WAITING.with_borrow(Option::is_some) {
        return work();
    }
    WAITING.set(Some(StaticVec::new()));
    let _flush = Flush(reader);
    work()
}

/// Has a wire flushed when the work of this thread is done; `false` when it does no such work.
pub(super) fn flushes_later(wire: &Arc<Wire>) -> bool {
    WAITING.with_borrow_mut(|waiting| match waiting {
        Some(wires) => {
            wires.push(wire.clone());
            true
        }
        None => false,
    })
}

struct Flush<'a>(Option<&'a Arc<Wire>>);

impl Drop for Flush<'_> {
    fn drop(&mut self) {
        let mut wires = WAITING.take().unwrap_or_default();
        if let Some(reader) = self.0 {
            wires.retain(|wire| !Arc::ptr_eq(wire, reader));
        }
        while wires.len() > AT_ONCE {
            let others: Vec<_> = wires.drain(wires.len() - AT_ONCE..).collect();
            tokio::spawn(async move { others.iter().for_each(Wire::flush) });
        }
        wires.iter().for_each(Wire::flush);
    }
}
