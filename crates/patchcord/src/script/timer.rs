//! Handle of a timer.

/// Handle that a script has of a timer: the timer's number. It stays valid across edits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TimerHandle(pub u32);

impl TimerHandle {
    /// Creates the handle of a timer.
    pub const fn new(number: u32) -> Self {
        Self(number)
    }
}
