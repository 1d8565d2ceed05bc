//! Wall clock by which schedules run.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use jiff::Timestamp;
use tokio::time::{Instant, sleep_until};

/// Time at which the clock of a test starts, in seconds since 1970: 1 January 2026, 00:00 UTC.
const TEST_START_SECONDS: i64 = 1_767_225_600;
/// Maximum time that passes until a change of the system's clock is noticed, or the end of its sleep.
const LOOK: Duration = Duration::from_secs(20);

/// Wall clock: that of the system, or one that starts at a fixed time and follows the clock of timers in a test.
#[derive(Debug, Clone, Default)]
pub struct Clock {
    /// Moment at which the clock of a test started, on the clock of timers.
    test_start: Option<Arc<OnceLock<Instant>>>,
}

impl Clock {
    /// Creates the clock of a test. It starts when [`Clock::now`] is called first.
    pub fn of_test() -> Self {
        Self {
            test_start: Some(Arc::default()),
        }
    }

    /// Returns `true` for the clock of a test.
    pub const fn is_of_test(&self) -> bool {
        self.test_start.is_some()
    }

    /// Returns the current time.
    pub fn now(&self) -> Timestamp {
        let Some(start) = &self.test_start else {
            return Timestamp::now();
        };
        let now = Instant::now();
        let passed = now - *start.get_or_init(|| now);
        let start = Timestamp::from_second(TEST_START_SECONDS).unwrap_or_default();
        start.checked_add(passed).unwrap_or(Timestamp::MAX)
    }

    /// Returns the time from now until `time`; zero if it has passed.
    pub fn until(&self, time: Timestamp) -> Duration {
        Duration::try_from(time.duration_since(self.now())).unwrap_or_default()
    }

    /// Waits until `time`, even if the clock of the system is changed meanwhile, or the system sleeps.
    pub async fn wait_until(&self, time: Timestamp) {
        while self.now() < time {
            let longest = match self.is_of_test() {
                true => Duration::MAX,
                false => LOOK,
            };
            sleep_until(Instant::now() + self.until(time).min(longest)).await;
        }
    }
}
