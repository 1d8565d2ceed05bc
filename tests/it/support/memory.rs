//! The memory that a thread has allocated, where it is measured.

#[cfg(all(feature = "jemalloc", unix))]
pub(crate) use measured::*;
#[cfg(not(all(feature = "jemalloc", unix)))]
pub(crate) use unmeasured::*;

#[cfg(all(feature = "jemalloc", unix))]
mod measured {
    use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};

    thread_local! {
        static ALLOCATED: ThreadLocal<u64> = allocatedp::read().unwrap();
        static FREED: ThreadLocal<u64> = deallocatedp::read().unwrap();
    }

    #[global_allocator]
    static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

    pub(crate) const IS_MEASURED: bool = true;

    /// Returns the number of bytes that this thread has allocated.
    pub(crate) fn allocated() -> u64 {
        ALLOCATED.with(|counter| counter.get())
    }

    /// Returns the net number of bytes that this thread has allocated: without those that it has freed.
    pub(crate) fn taken() -> u64 {
        allocated().wrapping_sub(FREED.with(|counter| counter.get()))
    }
}

#[cfg(not(all(feature = "jemalloc", unix)))]
mod unmeasured {
    pub(crate) const IS_MEASURED: bool = false;

    pub(crate) fn allocated() -> u64 {
        0
    }

    pub(crate) fn taken() -> u64 {
        0
    }
}
