//! Handle of a timer.

/// Script handle for a timer: the timer's number, which stays valid across edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimerHandle(pub u32);

impl TimerHandle {
    /// Creates the handle of a timer.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
}
