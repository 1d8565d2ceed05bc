//! Budget of one script call: operations, time, memory and produced bytes, counted by the thread that runs the call.
//!
//! Rhai calls `on_progress` at every operation, also inside callbacks, and a script cannot catch the end of its budget
//! with `try`. Reading the system clock costs more than an operation, so a separate thread updates a coarse clock that
//! costs nothing to read. While the coarse clock is stopped, the system clock is read. The duration of a call is also
//! measured with a cheap system clock.

use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::Duration,
};

use rhai::{EvalAltResult, Position};
use rustix::time::{ClockId, clock_gettime};

use super::{
    limits::Limits,
    meter::{self, MEMORY_EVERY},
};

/// Token of Rhai's `ErrorTerminated`: the call has used up its operations.
pub(crate) const OPERATIONS: &str = "operations";
/// Token: the time of the call is over.
pub(crate) const TIME: &str = "time";
/// Token: native functions have produced too many bytes for the call.
pub(crate) const PRODUCED: &str = "produced";
/// Token: the memory use of the call has grown too much.
pub(crate) const MEMORY: &str = "memory";
/// Token: a value is nested too deeply.
pub(crate) const DEPTH: &str = "depth";
/// Token: the maps of a value have too many keys.
pub(crate) const KEYS: &str = "keys";
/// Token: a value has too many elements, or its strings have too many bytes.
pub(crate) const LARGE: &str = "large";
/// Prefix of a token: a native function panicked. The panic message follows.
pub(crate) const PANIC: &str = "panic: ";

/// Interval, in operations, at which the system clock is read even if the coarse clock does not advance.
const CLOCK_EVERY: u64 = 1024;
/// Interval at which the coarse clock advances.
const TICK: Duration = Duration::from_millis(2);
/// System clock that costs less to read than the exact one. It lags by a few milliseconds at most. The coarse clock, in
/// contrast, may lag for as long as its thread waits for a CPU on a busy machine.
#[cfg(any(target_os = "linux", target_os = "android"))]
const COARSE_SYSTEM_CLOCK: ClockId = ClockId::MonotonicCoarse;
/// Exact system clock, because these systems have no cheap one.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const COARSE_SYSTEM_CLOCK: ClockId = ClockId::Monotonic;
/// Threshold, in microseconds, above which a call counts as slow and delays others.
const SLOW_CALL_MICROS: u64 = 10_000;
/// Threshold for a starved call, in operations: a call that has executed fewer operations when its time is over was
/// waiting for a CPU instead of using one.
const STARVED_OPERATIONS: u64 = 1_000;
/// Maximum time of a starved call, as a multiple of its time limit. Within this time, the call gets the CPU time that
/// it missed.
const MAX_TIME_FACTOR: u32 = 4;
/// Delay, in microseconds, after which a call records the CPU time of its thread.
const FIRST_LOOK_MICROS: u64 = 4_000;
/// Number of intervals without a call after which the coarse clock stops.
const IDLE_TICKS: u32 = 500;
/// Value of the coarse clock while it is stopped and the system clock must be read.
const UNKNOWN: u64 = u64::MAX;

thread_local! {
    static OPERATIONS_LEFT: Cell<u64> = const { Cell::new(0) };
    /// Number of bytes that native functions may still produce for the call; unlimited outside a call.
    static BYTES_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    static GROWTH: Cell<Growth> = const { Cell::new(Growth::NONE) };
    /// Time of the next time check of the call.
    static NEXT_TIME_CHECK: Cell<u64> = const { Cell::new(u64::MAX) };
    static TIMES: Cell<Times> = const { Cell::new(Times::NONE) };
    /// Number of operations left at which the call no longer counts as starved.
    static STARVED_ABOVE: Cell<u64> = const { Cell::new(0) };
    /// `Some(true)` if a call since the last [`took_long`] was slow; `None` if there was no call.
    static TOOK_LONG: Cell<Option<bool>> = const { Cell::new(None) };
}

/// Coarse clock, in microseconds of [`ClockId::Monotonic`].
static NOW: AtomicU64 = AtomicU64::new(UNKNOWN);
/// `true` if a call has started since the coarse clock last advanced.
static CALLED: AtomicBool = AtomicBool::new(false);
static CLOCK: OnceLock<Option<Thread>> = OnceLock::new();

/// Times at which a call ends, in microseconds.
#[derive(Clone, Copy)]
struct Times {
    /// End of the call's time limit.
    deadline: u64,
    /// Latest possible end of a starved call.
    last: u64,
    /// CPU time of the thread at which a starved call ends; `None` before the first check.
    processor: Option<u64>,
}

impl Times {
    const NONE: Self = Self {
        deadline: u64::MAX,
        last: u64::MAX,
        processor: None,
    };
}

/// Limit on the growth of a call's memory.
#[derive(Clone, Copy)]
struct Growth {
    /// Reading of the meter at the start of the call.
    from: u64,
    most: i64,
}

impl Growth {
    const NONE: Self = Self {
        from: 0,
        most: i64::MAX,
    };

    fn start(most: usize) -> Self {
        meter::allocated().map_or(Self::NONE, |from| Self {
            from,
            most: i64::try_from(most).unwrap_or(i64::MAX),
        })
    }

    /// Returns `true` if `more` additional bytes would exceed the limit. The growth of a call is negative if it has
    /// freed memory that others allocated.
    fn is_over(self, more: usize) -> bool {
        meter::allocated().is_some_and(|now| {
            let grown = now.wrapping_sub(self.from).cast_signed();
            grown.saturating_add_unsigned(more as u64) > self.most
        })
    }
}

/// Starts the budget of a call. Dropping the guard restores the previous budget.
pub(crate) fn start(limits: &Limits) -> Guard {
    let started = now();
    let times = Times {
        deadline: started.saturating_add(micros(limits.time)),
        last: started.saturating_add(micros(limits.time.saturating_mul(MAX_TIME_FACTOR))),
        processor: None,
    };
    wake_clock();
    Guard {
        started,
        left: OPERATIONS_LEFT.replace(limits.operations),
        bytes: BYTES_LEFT.replace(limits.produced),
        growth: GROWTH.replace(Growth::start(limits.call_memory)),
        look_at: NEXT_TIME_CHECK.replace(times.deadline.min(started + FIRST_LOOK_MICROS)),
        times: TIMES.replace(times),
        few_until: STARVED_ABOVE.replace(limits.operations.saturating_sub(STARVED_OPERATIONS)),
    }
}

/// Counts one operation. Returns the token of the limit that is exceeded, if any.
pub(crate) fn spend() -> Option<&'static str> {
    let left = OPERATIONS_LEFT.get();
    let looks = NOW.load(Ordering::Relaxed) >= NEXT_TIME_CHECK.get();
    if looks || left.is_multiple_of(MEMORY_EVERY) {
        return look(left, looks);
    }
    OPERATIONS_LEFT.set(left - 1);
    None
}

/// Checks memory and time in addition to counting. This is the slow path of [`spend`].
#[inline(never)]
fn look(left: u64, at_time: bool) -> Option<&'static str> {
    if left == 0 {
        return Some(OPERATIONS);
    }
    OPERATIONS_LEFT.set(left - 1);
    if left.is_multiple_of(MEMORY_EVERY) && GROWTH.get().is_over(0) {
        return Some(MEMORY);
    }
    let looks = at_time || left.is_multiple_of(CLOCK_EVERY);
    (looks && is_over(left)).then_some(TIME)
}

/// Returns `true` if the time of a call with `left` operations left is over.
fn is_over(left: u64) -> bool {
    // On a busy machine, the coarse clock may lag.
    let now = exact_time();
    if now < NEXT_TIME_CHECK.get() {
        return false;
    }
    let mut times = TIMES.get();
    let had = processor_time();
    // Other threads may have delayed this first check, so the call gets at least half of its time limit from here on.
    let until = *times.processor.get_or_insert_with(|| {
        let all = (times.last - times.deadline) / u64::from(MAX_TIME_FACTOR - 1);
        had.saturating_add(times.deadline.saturating_sub(now).max(all / 2))
    });
    TIMES.set(times);
    NEXT_TIME_CHECK.set(times.deadline);
    let is_over =
        now >= times.deadline && (left <= STARVED_ABOVE.get() || now >= times.last || had >= until);
    if is_over {
        TOOK_LONG.set(Some(true));
    }
    is_over
}

/// Counts bytes that a native function is about to produce for the script.
///
/// # Errors
/// Fails if the call exceeds its limit of produced bytes, of memory, or of time. A script cannot catch this error.
pub(crate) fn produce(bytes: usize) -> Result<(), Box<EvalAltResult>> {
    match BYTES_LEFT.get().checked_sub(bytes) {
        Some(left) => BYTES_LEFT.set(left),
        None => return Err(ended(PRODUCED)),
    }
    if GROWTH.get().is_over(bytes) {
        return Err(ended(MEMORY));
    }
    match NOW.load(Ordering::Relaxed) >= NEXT_TIME_CHECK.get() && is_over(OPERATIONS_LEFT.get()) {
        true => Err(ended(TIME)),
        false => Ok(()),
    }
}

/// Returns an error that ends a call and that a script cannot catch.
pub(crate) fn ended(why: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorTerminated(why.into(), Position::NONE).into()
}

/// Returns `Some(true)` if a call on this thread has taken longer than 10 ms since the last query, and `None` if there
/// was no call. Resets the record.
pub(crate) fn took_long() -> Option<bool> {
    TOOK_LONG.take()
}

/// Returns `true` if a call on this thread has taken longer than 10 ms since the last [`took_long`]. Does not reset the
/// record.
pub(crate) fn has_taken_long() -> bool {
    TOOK_LONG.get() == Some(true)
}

/// Suspends the current budget while the host does work of its own within a call. Dropping the guard restores the
/// budget, and extends the call's time by the duration of that work.
pub(crate) fn suspend() -> Suspended {
    Suspended {
        began: now(),
        left: OPERATIONS_LEFT.replace(u64::MAX),
        bytes: BYTES_LEFT.replace(usize::MAX),
        growth: GROWTH.replace(Growth::NONE),
        look_at: NEXT_TIME_CHECK.replace(u64::MAX),
        times: TIMES.replace(Times::NONE),
    }
}

/// Suspended budget, which is restored on drop.
pub(crate) struct Suspended {
    began: u64,
    left: u64,
    bytes: usize,
    growth: Growth,
    look_at: u64,
    times: Times,
}

impl Drop for Suspended {
    fn drop(&mut self) {
        let took = now().saturating_sub(self.began);
        OPERATIONS_LEFT.set(self.left);
        BYTES_LEFT.set(self.bytes);
        GROWTH.set(self.growth);
        NEXT_TIME_CHECK.set(self.look_at.saturating_add(took));
        TIMES.set(Times {
            deadline: self.times.deadline.saturating_add(took),
            last: self.times.last.saturating_add(took),
            // It is recorded again at the next check.
            processor: None,
        });
    }
}

pub(crate) struct Guard {
    started: u64,
    left: u64,
    bytes: usize,
    growth: Growth,
    look_at: u64,
    times: Times,
    few_until: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        OPERATIONS_LEFT.set(self.left);
        BYTES_LEFT.set(self.bytes);
        GROWTH.set(self.growth);
        NEXT_TIME_CHECK.set(self.look_at);
        TIMES.set(self.times);
        STARVED_ABOVE.set(self.few_until);
        let took_long = time().max(read(COARSE_SYSTEM_CLOCK)) > self.started + SLOW_CALL_MICROS;
        TOOK_LONG.set(Some(took_long || TOOK_LONG.get() == Some(true)));
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn now() -> u64 {
    read(ClockId::Monotonic)
}

/// Returns the time of a system clock, in microseconds.
fn read(clock: ClockId) -> u64 {
    Duration::try_from(clock_gettime(clock)).map_or(0, micros)
}

/// Returns the time in seconds, starting at 1, from a clock that is cheap to read.
pub(crate) fn cheap_seconds() -> u32 {
    let time = match NOW.load(Ordering::Relaxed) {
        UNKNOWN => read(COARSE_SYSTEM_CLOCK),
        now => now,
    };
    let seconds = time / 1_000_000;
    u32::try_from(seconds).map_or(u32::MAX, |seconds| seconds.saturating_add(1))
}

/// Returns the time of the coarse clock, or of the system clock while the coarse clock is stopped.
fn time() -> u64 {
    match NOW.load(Ordering::Relaxed) {
        UNKNOWN => exact_time(),
        now => now,
    }
}

fn exact_time() -> u64 {
    if NOW.load(Ordering::Relaxed) == UNKNOWN {
        wake_clock();
    }
    now()
}

/// Returns the CPU time that this thread has used, in microseconds.
fn processor_time() -> u64 {
    read(ClockId::ThreadCPUTime)
}

/// Keeps the coarse clock running while calls run.
fn wake_clock() {
    if !CALLED.load(Ordering::Relaxed) {
        CALLED.store(true, Ordering::Relaxed);
    }
    let clock = CLOCK.get_or_init(|| {
        let clock = thread::Builder::new().name("call clock".to_owned());
        // If the thread cannot start, the system clock is read at each operation.
        clock.spawn(tick).ok().map(|clock| clock.thread().clone())
    });
    if NOW.load(Ordering::Relaxed) == UNKNOWN
        && let Some(clock) = clock
    {
        clock.unpark();
    }
}

fn tick() {
    let mut idle = 0;
    loop {
        NOW.store(now(), Ordering::Relaxed);
        idle = match CALLED.swap(false, Ordering::Relaxed) {
            true => 0,
            false => idle + 1,
        };
        if idle > IDLE_TICKS {
            NOW.store(UNKNOWN, Ordering::Relaxed);
            thread::park();
            idle = 0;
        } else {
            thread::park_timeout(TICK);
        }
    }
}
