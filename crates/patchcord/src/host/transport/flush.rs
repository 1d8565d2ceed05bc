//! Flushes the data of a script call when the call has ended: one write for everything, instead of one for each event.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
};

/// Maximum number of clients that the sending thread itself writes to. Tasks write to the rest, each to at most this
/// many clients.
const MAX_INLINE_FLUSHES: usize = 64;

/// Queue whose data waits to be written.
pub(crate) trait Flush: Send + Sync {
    /// Writes the queued data.
    fn flush(self: Arc<Self>);
}

/// Maximum number of queues for which a thread keeps memory between two pieces of work.
const MAX_SPARE: usize = 1024;

/// Queues that wait to be flushed.
type Waiting = Vec<Arc<dyn Flush>>;

thread_local! {
    /// Queues of the current work; `None` while no work collects them.
    static WAITING: RefCell<Option<Waiting>> = const { RefCell::new(None) };
    /// Memory for the queues of the next work.
    static SPARE: Cell<Waiting> = const { Cell::new(Vec::new()) };
}

/// Runs `work`, and then flushes all queues that it has sent to. The queue of `reader` is left out, because the caller
/// must flush it before it reads further.
pub(in crate::host) fn collect<T>(reader: Option<&dyn Flush>, work: impl FnOnce() -> T) -> T {
    if WAITING.with_borrow(Option::is_some) {
        return work();
    }
    WAITING.set(Some(SPARE.take()));
    let _end = End(reader);
    work()
}

/// Schedules a flush for the end of this thread's current work. Returns `false` if there is no such work.
pub(super) fn schedule_flush(one: &Arc<impl Flush + 'static>) -> bool {
    WAITING.with_borrow_mut(|waiting| match waiting {
        Some(all) => {
            all.push(one.clone());
            true
        }
        None => false,
    })
}

/// Guard that flushes the queues when the work ends.
struct End<'a>(Option<&'a dyn Flush>);

impl Drop for End<'_> {
    fn drop(&mut self) {
        let mut all = WAITING.take().unwrap_or_default();
        if let Some(reader) = self.0 {
            all.retain(|one| !std::ptr::addr_eq(Arc::as_ptr(one), reader));
        }
        while all.len() > MAX_INLINE_FLUSHES {
            let others: Vec<_> = all.drain(all.len() - MAX_INLINE_FLUSHES..).collect();
            tokio::spawn(async move { others.into_iter().for_each(Flush::flush) });
        }
        all.drain(..).for_each(Flush::flush);
        if all.capacity() <= MAX_SPARE {
            SPARE.set(all);
        }
    }
}
