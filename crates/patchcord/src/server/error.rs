//! Reasons for which a server does not serve.

use std::path::PathBuf;

use crate::{host::AttachError, watch::WatchError};

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The scripts cannot be watched.
    #[error("the scripts cannot be watched")]
    Watch(#[from] WatchError),
    /// The server has ended by itself, which it does not do unless something in it panics.
    #[error("the server has ended")]
    Ended(#[from] tokio::task::JoinError),
    /// The host serves another app already.
    #[error("the host cannot serve")]
    Attach(#[from] AttachError),
    /// The address cannot be listened at.
    #[error("cannot listen at {address}: {reason}")]
    Bind {
        /// The address.
        address: String,
        /// What the system says.
        reason: String,
    },
    /// The control channel cannot be opened.
    #[error("no control channel at `{place}`: {reason}")]
    Control {
        /// The path or address.
        place: String,
        /// The problem.
        reason: String,
    },
    /// A folder that was to be served is none.
    #[error("`{0}` is not a folder")]
    NoFolder(PathBuf),
}
