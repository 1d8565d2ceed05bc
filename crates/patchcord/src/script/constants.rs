//! Constants of a script, with a copy for each thread that calls it.
//!
//! To read a constant (`global::NAME`), Rhai locks all constants. If another thread holds the lock, Rhai sleeps, and
//! eventually panics.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock,
        atomic::{AtomicUsize, Ordering},
    },
};

use rhai::{Dynamic, ImmutableString};

/// Constants as Rhai stores them.
pub(super) type Constants = Arc<RwLock<BTreeMap<ImmutableString, Dynamic>>>;

/// Number of copies: at least the number of threads that call scripts.
pub(super) const COPIES: usize = 16;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static COPY_INDEX: usize = NEXT.fetch_add(1, Ordering::Relaxed) % COPIES;
}

/// Returns the constants of a state.
pub(super) fn read(constants: &Constants) -> BTreeMap<ImmutableString, Dynamic> {
    let constants = constants.read().unwrap_or_else(PoisonError::into_inner);
    constants.clone()
}

/// Returns constants in the form in which a state stores them; `None` if there are none.
pub(super) fn shared(constants: BTreeMap<ImmutableString, Dynamic>) -> Option<Constants> {
    (!constants.is_empty()).then(|| Arc::new(RwLock::new(constants)))
}

/// Returns the copy for this thread.
pub(super) fn of_this_thread<T>(copies: &[T]) -> Option<&T> {
    let places = copies.len().max(1);
    copies.get(COPY_INDEX.with(|place| *place) % places)
}
