//! Limits, and scripts and clients that exceed them.

mod call_time;
mod floods;
mod hostile_scripts;
mod isolation;
mod memory;
