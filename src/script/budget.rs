//! How much one script call may do, counted by the thread that runs it.
//!
//! Rhai asks `on_progress` at every operation, those inside callbacks included, and no `try` of a script can catch
//! the end of its budget. Reading the system's clock costs more than an operation does, so a thread of its own keeps a
//! coarse clock that costs nothing to read; without that thread the system's clock is read now and then.

use std::{
    cell::Cell,
    sync::{
        LazyLock, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::{self, Thread},
    time::{Duration, Instant},
};

use rhai::{EvalAltResult, Position};

use super::Limits;

/// Why a call was ended, as the token of Rhai's `ErrorTerminated`.
pub(crate) const OPERATIONS: &str = "operations";
/// See [`OPERATIONS`].
pub(crate) const TIME: &str = "time";
/// See [`OPERATIONS`].
pub(crate) const PRODUCED: &str = "produced";
/// See [`OPERATIONS`].
pub(crate) const DEPTH: &str = "depth";
/// See [`OPERATIONS`].
pub(crate) const KEYS: &str = "keys";
/// See [`OPERATIONS`]; the text of the panic follows.
pub(crate) const PANIC: &str = "panic: ";

/// The system's clock is read at every so many operations, even where the coarse clock does not move.
const CLOCK_EVERY: u64 = 1024;
/// The coarse clock moves in such steps.
const TICK: Duration = Duration::from_millis(2);
/// A call that took longer holds others up.
const LONG: u64 = 10_000;
/// A call that has done less than this when its time is over has waited for a processor, and not used one.
const FEW_OPERATIONS: u64 = 1_000;
/// It gets so many times its time at most, for its operations may take long.
const PATIENCE: u32 = 4;
/// After so many steps without a call the coarse clock stops.
const IDLE_TICKS: u32 = 500;

thread_local! {
    static LEFT: Cell<u64> = const { Cell::new(0) };
    /// Outside a call there is no limit.
    static BYTES_LEFT: Cell<usize> = const { Cell::new(usize::MAX) };
    /// In microseconds since [`START`].
    static DEADLINE: Cell<u64> = const { Cell::new(u64::MAX) };
    /// The end of a call that has done little.
    static LAST: Cell<u64> = const { Cell::new(u64::MAX) };
    /// Operations left to a call that has no longer done little.
    static FEW_UNTIL: Cell<u64> = const { Cell::new(0) };
    static TOOK_LONG: Cell<bool> = const { Cell::new(false) };
}

static START: LazyLock<Instant> = LazyLock::new(Instant::now);
/// The coarse clock, in microseconds since [`START`].
static NOW: AtomicU64 = AtomicU64::new(0);
/// A call has begun since the clock's last look.
static CALLED: AtomicBool = AtomicBool::new(false);
/// The clock stands still until it is woken.
static STOPPED: AtomicBool = AtomicBool::new(false);
static CLOCK: OnceLock<Option<Thread>> = OnceLock::new();

/// Starts the budget of a call; the guard gives back what was in force before.
pub(crate) fn start(limits: &Limits) -> Guard {
    let started = now();
    let deadline = started.saturating_add(micros(limits.time));
    let last = started.saturating_add(micros(limits.time.saturating_mul(PATIENCE)));
    wake_clock();
    Guard {
        started,
        left: LEFT.replace(limits.operations),
        bytes: BYTES_LEFT.replace(limits.produced),
        deadline: DEADLINE.replace(deadline),
        last: LAST.replace(last),
        few_until: FEW_UNTIL.replace(limits.operations.saturating_sub(FEW_OPERATIONS)),
    }
}

/// Counts one operation; `Some` names the budget that is used up.
pub(crate) fn spend() -> Option<&'static str> {
    let left = LEFT.get();
    if left == 0 {
        return Some(OPERATIONS);
    }
    LEFT.set(left - 1);
    let deadline = DEADLINE.get();
    let late = NOW.load(Ordering::Relaxed) >= deadline
        || (left.is_multiple_of(CLOCK_EVERY) && now() >= deadline);
    (late && is_over(left)).then_some(TIME)
}

/// Whether a call whose time is over ends, with so many operations left.
fn is_over(left: u64) -> bool {
    left <= FEW_UNTIL.get() || NOW.load(Ordering::Relaxed) >= LAST.get()
}

/// Counts bytes that a native function makes for the script, before it makes them.
///
/// # Errors
/// When the call may make no more, or is over its time; no script can catch that.
pub(crate) fn produce(bytes: usize) -> Result<(), Box<EvalAltResult>> {
    match BYTES_LEFT.get().checked_sub(bytes) {
        Some(left) => BYTES_LEFT.set(left),
        None => return Err(ended(PRODUCED)),
    }
    match NOW.load(Ordering::Relaxed) >= DEADLINE.get() && is_over(LEFT.get()) {
        true => Err(ended(TIME)),
        false => Ok(()),
    }
}

/// The end of a call, as an error that no script can catch.
pub(crate) fn ended(why: &str) -> Box<EvalAltResult> {
    EvalAltResult::ErrorTerminated(why.into(), Position::NONE).into()
}

/// Whether a call on this thread has taken longer than 10 ms since this was asked last.
pub(crate) fn took_long() -> bool {
    TOOK_LONG.replace(false)
}

pub(crate) struct Guard {
    started: u64,
    left: u64,
    bytes: usize,
    deadline: u64,
    last: u64,
    few_until: u64,
}

impl Drop for Guard {
    fn drop(&mut self) {
        LEFT.set(self.left);
        BYTES_LEFT.set(self.bytes);
        DEADLINE.set(self.deadline);
        LAST.set(self.last);
        FEW_UNTIL.set(self.few_until);
        if NOW.load(Ordering::Relaxed) > self.started.saturating_add(LONG) {
            TOOK_LONG.set(true);
        }
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn now() -> u64 {
    micros(START.elapsed())
}

/// Has the coarse clock move while calls run.
fn wake_clock() {
    if !CALLED.load(Ordering::Relaxed) {
        CALLED.store(true, Ordering::Relaxed);
    }
    let clock = CLOCK.get_or_init(|| {
        let clock = thread::Builder::new().name("call clock".to_owned());
        // Without the thread a call is a little later at its end.
        clock.spawn(tick).ok().map(|clock| clock.thread().clone())
    });
    if STOPPED.load(Ordering::Relaxed)
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
            STOPPED.store(true, Ordering::Relaxed);
            // A call that began just now is seen at the latest by its own look at the system's clock.
            thread::park();
            STOPPED.store(false, Ordering::Relaxed);
            idle = 0;
        } else {
            thread::park_timeout(TICK);
        }
    }
}
