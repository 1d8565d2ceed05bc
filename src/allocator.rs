//! Allocator of the process.

/// Functions of the allocator that the command line needs, for the current thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allocator {
    /// Net number of bytes that the thread has allocated.
    pub(super) net_allocated: fn() -> u64,
    /// Releases to the system the freed memory that the allocator keeps for the thread.
    pub(super) release_memory: fn(),
}

/// Prepares the allocator. Returns `None` for the system's allocator, which has no such functions.
#[cfg(all(feature = "jemalloc", unix))]
pub(super) fn prepare() -> Option<Allocator> {
    memory::return_memory_when_free();
    Some(Allocator {
        net_allocated: memory::net_allocated,
        release_memory: memory::release_memory,
    })
}

#[cfg(not(all(feature = "jemalloc", unix)))]
pub(super) fn prepare() -> Option<Allocator> {
    None
}

#[cfg(all(feature = "jemalloc", unix))]
mod memory {
    use tikv_jemalloc_ctl::{
        Access, AsName, Result, background_thread,
        thread::{ThreadLocal, allocatedp, deallocatedp},
    };

    /// Allocator of the process, because glibc's keeps freed memory for as long as the process lives.
    #[global_allocator]
    static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

    /// Delay, in milliseconds, before freed memory is returned to the system; until then it can be used again.
    const DECAY_MS: isize = 1_000;

    thread_local! {
        /// Numbers of bytes that this thread has allocated and freed.
        static COUNTERS: Option<(ThreadLocal<u64>, ThreadLocal<u64>)> =
            allocatedp::read().ok().zip(deallocatedp::read().ok());
    }

    /// Makes the allocator return freed memory to the system, even while the process is idle.
    pub(super) fn return_memory_when_free() {
        let begin = || -> Result<()> {
            b"arenas.dirty_decay_ms\0".name().write(DECAY_MS)?;
            b"arena.0.dirty_decay_ms\0".name().write(DECAY_MS)?;
            background_thread::write(true)
        };
        // On systems without these background threads, memory is returned while the process works.
        let _ = begin();
    }

    /// Returns the net number of bytes that this thread has allocated. It wraps around if the thread has freed more
    /// than it has allocated.
    pub(super) fn net_allocated() -> u64 {
        COUNTERS
            .with(|counters| counters.map_or(0, |(all, freed)| all.get().wrapping_sub(freed.get())))
    }

    /// Releases the freed memory that this thread keeps in its cache.
    pub(super) fn release_memory() {
        let cache = b"thread.tcache.enabled\0".name();
        // The write fails if there is no cache, and then there is nothing to release.
        let _ = cache.write(false).and_then(|()| cache.write(true));
    }
}
