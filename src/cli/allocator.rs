//! Access of the command line to the allocator of its process.

/// Functions of the allocator that the command line needs, for the current thread.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "only the program makes one")]
pub struct Allocator {
    /// Net number of bytes that the thread has allocated.
    pub taken: fn() -> u64,
    /// Gives freed memory that the allocator keeps back to the system.
    pub let_go: fn(),
}
