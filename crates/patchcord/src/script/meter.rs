//! How much memory a thread has allocated, where the program's allocator tells it.

use std::sync::OnceLock;

/// The memory of a call is looked at after so many operations.
pub(super) const MEMORY_EVERY: u64 = 8;

/// Net bytes that the present thread has allocated.
static METER: OnceLock<fn() -> u64> = OnceLock::new();

/// Has the memory of calls measured, from now on and in all hosts: a process has one allocator. The first meter stays.
pub fn measure_by(meter: fn() -> u64) {
    let _ = METER.set(meter);
}

/// Whether the memory of calls is measured.
pub fn is_measured() -> bool {
    METER.get().is_some()
}

/// Returns the net bytes that the present thread has allocated; `None` where that is not measured.
pub(super) fn allocated() -> Option<u64> {
    METER.get().map(|meter| meter())
}
