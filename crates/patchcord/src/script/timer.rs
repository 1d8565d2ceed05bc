//! The handle of a script on a timer.

/// The handle of a script on a timer, by the timer's number. It stays good through edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimerHandle(pub u32);

impl TimerHandle {
    /// Creates the handle of a timer.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
}
