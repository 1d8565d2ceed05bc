//! The host as applications embed it.

mod attach;
mod closing;
mod cluster;
mod counters;
mod embedder;
mod failures;
mod namespace_handle;
