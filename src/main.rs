//! The program `patchcord`: see `patchcord --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    #[cfg(all(feature = "jemalloc", unix))]
    memory::give_back();
    patchcord::cli::run()
}

#[cfg(all(feature = "jemalloc", unix))]
mod memory {
    use tikv_jemalloc_ctl::{Access, AsName, Result, background_thread};

    /// Glibc's own keeps what was freed for as long as the process lives.
    #[global_allocator]
    static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

    /// So long, in milliseconds, what was freed is kept in case it is needed again.
    const KEPT: isize = 1_000;

    /// Has what was freed given back, also while nothing else happens.
    pub(super) fn give_back() {
        let begin = || -> Result<()> {
            b"arenas.dirty_decay_ms\0".name().write(KEPT)?;
            b"arena.0.dirty_decay_ms\0".name().write(KEPT)?;
            background_thread::write(true)
        };
        // Where there are no threads for it, it is given back as the process goes on to work.
        let _ = begin();
    }
}
