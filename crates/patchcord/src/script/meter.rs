//! Memory that a thread has allocated, if the application's allocator reports it.

use std::sync::OnceLock;

/// Interval between checks of a call's memory, in operations.
pub(super) const MEMORY_EVERY: u64 = 8;

/// Function that returns the net bytes that the current thread has allocated.
static METER: OnceLock<fn() -> u64> = OnceLock::new();

/// Error of [`set_memory_meter`]: the process already has a meter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the process has a meter of memory already")]
#[non_exhaustive]
pub struct MeterIsSet;

/// Sets the memory meter, which the limit [`call_memory`](crate::script::Limits::call_memory) of script calls requires.
/// `meter` returns the bytes that the current thread has allocated, minus those that it has freed (wrapping). `meter`
/// is called often and must be fast. A process has one allocator, so the meter applies to all hosts of the process.
///
/// ```
/// use tikv_jemalloc_ctl::thread::{ThreadLocal, allocatedp, deallocatedp};
///
/// #[global_allocator]
/// static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;
///
/// thread_local! {
///     static COUNTERS: Option<(ThreadLocal<u64>, ThreadLocal<u64>)> =
///         allocatedp::read().ok().zip(deallocatedp::read().ok());
/// }
///
/// fn net() -> u64 {
///     COUNTERS.with(|counters| counters.map_or(0, |(taken, freed)| taken.get().wrapping_sub(freed.get())))
/// }
///
/// patchcord::set_memory_meter(net).unwrap();
/// ```
///
/// # Errors
/// Returns [`MeterIsSet`] if the process already has a meter, which is not replaced.
pub fn set_memory_meter(meter: fn() -> u64) -> Result<(), MeterIsSet> {
    METER.set(meter).map_err(|_| MeterIsSet)
}

/// Returns `true` if the memory of calls is measured.
pub fn is_measured() -> bool {
    METER.get().is_some()
}

/// Returns the net bytes that the current thread has allocated; `None` if they are not measured.
pub(super) fn allocated() -> Option<u64> {
    METER.get().map(|meter| meter())
}
