//! The constants of a script, a copy for each thread that calls it.
//!
//! Rhai locks them to read one (`global::NAME`), and where the lock is taken it sleeps, and panics after a while.

use std::sync::{
    Arc, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use rhai::GlobalRuntimeState;

/// As many threads as call scripts, or more.
pub(super) const COPIES: usize = 16;

static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static PLACE: usize = NEXT.fetch_add(1, Ordering::Relaxed) % COPIES;
}

/// The surroundings of a script with constants of their own, for different threads; none for a script without constants.
pub(super) fn copies(state: &GlobalRuntimeState) -> Vec<GlobalRuntimeState> {
    let Some(constants) = &state.constants else {
        return Vec::new();
    };
    let constants = constants.read().unwrap_or_else(PoisonError::into_inner);
    let copy = |_| {
        let mut copy = state.clone();
        copy.constants = Some(Arc::new(RwLock::new(constants.clone())));
        copy
    };
    (0..COPIES).map(copy).collect()
}

/// The one for this thread.
pub(super) fn of_this_thread<T>(copies: &[T]) -> Option<&T> {
    copies.get(PLACE.with(|place| *place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_have_constants_of_their_own() {
        let mut state = rhai::Engine::new_raw().new_global_runtime_state();
        assert!(copies(&state).is_empty());
        let constants = [("N".into(), 1_i64.into())].into();
        state.constants = Some(Arc::new(RwLock::new(constants)));
        let copies = copies(&state);
        let here = || of_this_thread(&copies).unwrap().constants.as_ref().unwrap();
        assert!(Arc::ptr_eq(here(), here()));
        let elsewhere = || std::thread::scope(|scope| scope.spawn(here).join().unwrap());
        // Of very many threads some have the same.
        let other = (0..4)
            .map(|_| elsewhere())
            .find(|other| !Arc::ptr_eq(here(), other));
        assert_eq!(other.unwrap().read().unwrap()["N"].as_int(), Ok(1));
    }
}
