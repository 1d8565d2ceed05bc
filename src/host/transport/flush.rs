//! What script calls send leaves when they have ended: one write for all of it, and not one for each event.

use std::{cell::RefCell, sync::Arc};

use rhai::StaticVec;

/// So many clients are written to by the thread that sent; more are left to tasks, which take so many each.
const AT_ONCE: usize = 64;

/// Something that waits to be written.
pub(crate) trait Flush: Send + Sync {
    /// Writes what waits.
    fn flush(self: Arc<Self>);
}

/// What something waits in.
type Waiting = StaticVec<Arc<dyn Flush>>;

thread_local! {
    /// `None` while nothing collects them.
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
}

/// Does some work, and lets what it sends leave afterwards. What it sends to `reader` leaves with the next read from it,
/// which must follow.
pub(in crate::host) fn collect<T>(reader: Option<&dyn Flush>, work: impl FnOnce() -> T) -> T {
    if WAITING.with_borrow(Option::is_some) {
        return work();
    }
    WAITING.set(Some(StaticVec::new()));
    let _end = End(reader);
    work()
}

/// Has this flushed when the work of this thread is done; `false` when it does no such work.
pub(super) fn flushes_later(one: &Arc<impl Flush + 'static>) -> bool {
    WAITING.with_borrow_mut(|waiting| match waiting {
        Some(all) => {
            all.push(one.clone());
            true
        }
        None => false,
    })
}

/// The end of the work.
struct End<'a>(Option<&'a dyn Flush>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut all = WAITING.take().unwrap_or_default();
        if let Some(reader) = self.0 {
            all.retain(|one| !std::ptr::addr_eq(Arc::as_ptr(one), reader));
        }
        while all.len() > AT_ONCE {
            let others: Vec<_> = all.drain(all.len() - AT_ONCE..).collect();
            tokio::spawn(async move { others.into_iter().for_each(Flush::flush) });
        }
        all.into_iter().for_each(Flush::flush);
    }
}
