//! How much one script call may do, counted by the thread that runs it.
//!
//! Rhai asks `on_progress` at every operation, those inside callbacks included, and no `try` of a script can catch
//! the end of its budget. Reading the system's clock costs more than an operation does, so a thread of its own keeps a
//! coarse clock that costs nothing to read; where that stands still the system's clock is read. How long a call took is asked
//! of a cheap clock of the system, too.

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

/// Why a call was ended, as the token of Rhai's `ErrorTerminated`.
pub(crate) const OPERATIONS: &str = "operations";
/// See [`OPERATIONS`].
pub(crate) const TIME: &str = "time";
/// See [`OPERATIONS`].
pub(crate) const PRODUCED: &str = "produced";
/// See [`OPERATIONS`].
pub(crate) const MEMORY: &str = "memory";
/// See [`OPERATIONS`].
pub(crate) const DEPTH: &str = "depth";
/// See [`OPERATIONS`].
pub(crate) const KEYS: &str = "keys";
/// See [`OPERATIONS`].
pub(crate) const LARGE: &str = "large";
/// See [`OPERATIONS`]; the text of the panic follows.
pub(crate) const PANIC: &str = "panic: ";

/// The system's clock is read at every so many operations, even where the coarse clock does not move.
const CLOCK_EVERY: u64 = 1024;
/// The coarse clock moves in such steps.
const TICK: Duration = Duration::from_millis(2);
/// A clock of the system that costs less to read than the exact one. It is late by a few milliseconds at most; the coarse
/// one may be late by as long as a thread waits for a processor on a busy machine.
#[cfg(any(target_os = "linux", target_os = "android"))]
const CHEAP: ClockId = ClockId::MonotonicCoarse;
/// Here there is none.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const CHEAP: ClockId = ClockId::Monotonic;
/// A call that took longer holds others up.
const SLOW_CALL_MICROS: u64 = 10_000;
/// A call that has done less than this when its time is over has waited for a processor, and not used one.
const STARVED_OPERATIONS: u64 = 1_000;
/// It gets its time of a processor then, but no more than so many times its time.
const MAX_TIME_FACTOR: u32 = 4;
/// A call that goes on for so long notes what it has had of a processor.
const FIRST_LOOK_MICROS: u64 = 4_000;
/// After so many steps without a call the coarse clock stops.
const IDLE_TICKS: u32 = 500;
/// The coarse clock stands still, and the system's is to be read.
const UNKNOWN: u64 = u64::MAX;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
    /// Outside a call there is no limit.
    static BYTES_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    static GROWTH: Cell<Growth> = const { Cell::new(Growth::NONE) };
    /// When the call is to look at its time again.
    static LOOK_AT: Cell<u64> = const { Cell::new(u64::MAX) };
    static TIMES: Cell<Times> = const { Cell::new(Times::NONE) };
    /// Operations left to a call that has no longer done little.
    static FEW_UNTIL: Cell<u64> = const { Cell::new(0) };
    /// Of the calls since [`took_long`] was asked last, if there were any.
    static TOOK_LONG: Cell<Option<bool>> = const { Cell::new(None) };
}

/// The coarse clock, in microseconds of [`ClockId::Monotonic`].
static NOW: AtomicU64 = AtomicU64::new(UNKNOWN);
/// A call has begun since the clock's last look.
static CALLED: AtomicBool = AtomicBool::new(false);
static CLOCK: OnceLock<Option<Thread>> = OnceLock::new();

/// The ends of a call, in microseconds.
#[derive(Clone, Copy)]
struct Times {
    /// By the clock that it began by.
    deadline: u64,
    /// The end of a call that has waited for a processor.
    last: u64,
    /// What its thread may have had of processors until then; unknown before the first look.
    processor: Option<u64>,
}

impl Times {
    const NONE: Self = Self {
        deadline: u64::MAX,
        last: u64::MAX,
        processor: None,
    };
}

/// How much the memory of a call may grow.
#[derive(Clone, Copy)]
struct Growth {
    /// What the meter said at its start.
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

    /// Whether so many bytes more are too many. A call that has freed what others made has grown by less than nothing.
    fn is_over(self, more: usize) -> bool {
        meter::allocated().is_some_and(|now| {
            let grown = now.wrapping_sub(self.from).cast_signed();
            grown.saturating_add_unsigned(more as u64) > self.most
        })
    }
}

/// Starts the budget of a call; the guard gives back what was in force before.
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
        left: LEFT.replace(limits.operations),
        bytes: BYTES_LEFT.replace(limits.produced),
        growth: GROWTH.replace(Growth::start(limits.call_memory)),
        look_at: LOOK_AT.replace(times.deadline.min(started + FIRST_LOOK_MICROS)),
        times: TIMES.replace(times),
        few_until: FEW_UNTIL.replace(limits.operations.saturating_sub(STARVED_OPERATIONS)),
    }
}

/// Counts one operation; `Some` names the budget that is used up.
pub(crate) fn spend() -> Option<&'static str> {
    let left = LEFT.get();
    let looks = NOW.load(Ordering::Relaxed) >= LOOK_AT.get();
    if looks || left.is_multiple_of(MEMORY_EVERY) {
        return look(left, looks);
    }
    LEFT.set(left - 1);
    None
}

/// Does not only count, as most operations do.
#[inline(never)]
fn look(left: u64, at_time: bool) -> Option<&'static str> {
    if left == 0 {
        return Some(OPERATIONS);
    }
    LEFT.set(left - 1);
    if left.is_multiple_of(MEMORY_EVERY) && GROWTH.get().is_over(0) {
        return Some(MEMORY);
    }
    let looks = at_time || left.is_multiple_of(CLOCK_EVERY);
    (looks && is_over(left)).then_some(TIME)
}

/// Whether the time of a call with so many operations left is over.
fn is_over(left: u64) -> bool {
    // The coarse clock may be late on a busy machine.
    let now = exact_time();
    if now < LOOK_AT.get() {
        return false;
    }
    let mut times = TIMES.get();
    let had = processor_time();
    // What kept it from the first look may have been others: it gets a good part of its time in any case.
    let until = *times.processor.get_or_insert_with(|| {
        let all = (times.last - times.deadline) / u64::from(MAX_TIME_FACTOR - 1);
        had.saturating_add(times.deadline.saturating_sub(now).max(all / 2))
    });
    TIMES.set(times);
    LOOK_AT.set(times.deadline);
    let is_over =
        now >= times.deadline && (left <= FEW_UNTIL.get() || now >= times.last || had >= until);
    if is_over {
        TOOK_LONG.set(Some(true));
    }
    is_over
}

/// Counts bytes that a native function makes for the script, before it makes them.
///
/// # Errors
/// When the call may make no more, has no memory for it, or is over its time; no script can catch that.
pub(crate) fn produce(bytes: usize) -> Result<(), Box<EvalAltResult>> {
    match BYTES_LEFT.get().checked_sub(bytes) {
        Some(left) => BYTES_LEFT.set(left),
        None => return Err(ended(PRODUCED)),
    }
    if GROWTH.get().is_over(bytes) {
        return Err(ended(MEMORY));
    }
    match NOW.load(Ordering::Relaxed) >= LOOK_AT.get() && is_over(LEFT.get()) {
        true => Err(ended(TIME)),
        false => Ok(()),
    }
}

/// The end of a call, as an error that no script can catch.
pub(crate) fn ended(why: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorTerminated(why.into(), Position::NONE).into()
}

/// Whether a call on this thread has taken longer than 10 ms since this was asked last; `None` when there was none.
pub(crate) fn took_long() -> Option<bool> {
    TOOK_LONG.take()
}

/// The same, without forgetting it.
pub(crate) fn has_taken_long() -> bool {
    TOOK_LONG.get() == Some(true)
}

/// Suspends the budget in force, for work of the host in the middle of a call; the guard gives it back, and the call gets
/// the time of that work in addition.
pub(crate) fn suspend() -> Suspended {
    Suspended {
        began: now(),
        left: LEFT.replace(u64::MAX),
        bytes: BYTES_LEFT.replace(usize::MAX),
        growth: GROWTH.replace(Growth::NONE),
        look_at: LOOK_AT.replace(u64::MAX),
        times: TIMES.replace(Times::NONE),
    }
}

/// A budget that is not in force.
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
        LEFT.set(self.left);
        BYTES_LEFT.set(self.bytes);
        GROWTH.set(self.growth);
        LOOK_AT.set(self.look_at.saturating_add(took));
        TIMES.set(Times {
            deadline: self.times.deadline.saturating_add(took),
            last: self.times.last.saturating_add(took),
            // Another look is due.
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
        LEFT.set(self.left);
        BYTES_LEFT.set(self.bytes);
        GROWTH.set(self.growth);
        LOOK_AT.set(self.look_at);
        TIMES.set(self.times);
        FEW_UNTIL.set(self.few_until);
        let took_long = time().max(read(CHEAP)) > self.started + SLOW_CALL_MICROS;
        TOOK_LONG.set(Some(took_long || TOOK_LONG.get() == Some(true)));
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn now() -> u64 {
    read(ClockId::Monotonic)
}

/// What a clock of the system says, in microseconds.
fn read(clock: ClockId) -> u64 {
    Duration::try_from(clock_gettime(clock)).map_or(0, micros)
}

/// Returns a time in seconds, from 1, by a clock that costs little.
pub(crate) fn cheap_seconds() -> u32 {
    let time = match NOW.load(Ordering::Relaxed) {
        UNKNOWN => read(CHEAP),
        now => now,
    };
    let seconds = time / 1_000_000;
    u32::try_from(seconds).map_or(u32::MAX, |seconds| seconds.saturating_add(1))
}

/// By the coarse clock, or by the system's where that stands still.
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

/// What this thread has had of processors, in microseconds.
fn processor_time() -> u64 {
    read(ClockId::ThreadCPUTime)
}

/// Has the coarse clock move while calls run.
fn wake_clock() {
    if !CALLED.load(Ordering::Relaxed) {
        CALLED.store(true, Ordering::Relaxed);
    }
    let clock = CLOCK.get_or_init(|| {
        let clock = thread::Builder::new().name("call clock".to_owned());
        // Without the thread the system's clock is read at each operation.
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
