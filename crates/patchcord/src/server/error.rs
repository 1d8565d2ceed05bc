//! Reasons why a server does not serve.

use std::path::PathBuf;

use crate::{host::AttachError, watch::WatchError};

/// Reason why a server does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServerError {
    /// The scripts cannot be watched.
    #[error("the scripts cannot be watched")]
    Watch(#[from] WatchError),
    /// The server task panicked.
    #[error("the server has ended")]
    Ended(#[from] tokio::task::JoinError),
    /// The host already serves another app.
    #[error("the host cannot serve")]
    Attach(#[from] AttachError),
    /// The address cannot be bound.
    #[error("cannot listen at {address}: {reason}")]
    Bind {
        /// Address of the listener.
        address: String,
        /// Cause, usually the error from the operating system.
        reason: String,
    },
    /// A socket that was opened before the server cannot be used.
    #[error("the listening socket that was passed cannot be used: {0}")]
    Listener(String),
    /// The control channel cannot be opened.
    #[error("no control channel at `{place}`: {reason}")]
    Control {
        /// Path or address of the channel.
        place: String,
        /// Cause of the failure.
        reason: String,
    },
    /// The server has API keys, but no second listener.
    #[error("the HTTP API needs `admin_listen`: it is not served to clients")]
    ApiWithoutAdmin,
    /// A path of files to serve is not a folder.
    #[error("`{0}` is not a folder")]
    NoFolder(PathBuf),
}
