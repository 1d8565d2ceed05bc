//! The allocator of the process.

/// Functions of the allocator that the command line needs, for the current thread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Allocator {
    /// Net number of bytes that the thread has allocated.
    pub(super) taken: fn() -> u64,
    /// Gives freed memory that the allocator keeps back to the system.
    pub(super) let_go: fn(),
}

/// Prepares the allocator; `None` if it is that of the system, which cannot be asked.
#[cfg(all(feature = "jemalloc", unix))]
pub(super) fn prepare() -> Option<Allocator> {
    memory::give_back();
    Some(Allocator {
        taken: memory::taken,
        let_go: memory::let_go,
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

    /// Glibc's own keeps what was freed for as long as the process lives.
    #[global_allocator]
    static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

    /// So long, in milliseconds, what was freed is kept in case it is needed again.
    const DECAY_MS: isize = 1_000;

    thread_local! {
        /// What this thread has allocated, and what it has freed.
        static COUNTERS: Option<(ThreadLocal<u64>, ThreadLocal<u64>)> =
            allocatedp::read().ok().zip(deallocatedp::read().ok());
    }

    /// Has what was freed given back, also while nothing else happens.
    pub(super) fn give_back() {
        let begin = || -> Result<()> {
            b"arenas.dirty_decay_ms\0".name().write(DECAY_MS)?;
            b"arena.0.dirty_decay_ms\0".name().write(DECAY_MS)?;
            background_thread::write(true)
        };
        // Where there are no threads for it, it is given back as the process goes on to work.
        let _ = begin();
    }

    /// What this thread has taken; wraps around where it has freed more than that.
    pub(super) fn taken() -> u64 {
        COUNTERS
            .with(|counters| counters.map_or(0, |(all, freed)| all.get().wrapping_sub(freed.get())))
    }

    /// Gives back what this thread keeps of freed memory to have it at hand.
    pub(super) fn let_go() {
        let cache = b"thread.tcache.enabled\0".name();
        // Without a cache there is nothing to give back.
        let _ = cache.write(false).and_then(|()| cache.write(true));
    }
}
