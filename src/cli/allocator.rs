//! What the command line asks of the allocator of its process.

/// What the program asks of its allocator, for the present thread.
#[derive(Debug, Clone, Copy)]
#[allow(clippy::exhaustive_structs, reason = "only the program makes one")]
pub struct Allocator {
    /// Net bytes that it has allocated.
    pub taken: fn() -> u64,
    /// Gives back what it keeps of freed memory.
    pub let_go: fn(),
}
