//! Options of the store that keeps `io.data`.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::script::{InvalidOption, option_value};

/// Options of the store that keeps `io.data` of all namespaces over a restart. Without a store, `io.data` is lost when
/// the host ends.
///
/// Writes of scripts reach the store with a short delay: every [`DataOptions::save_every`], the host saves all writes of
/// the calls that have ended. A crash loses the writes since then, but never half of a call. `io.data.flush` waits until
/// they are saved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct DataOptions {
    /// File that keeps the data, which is created if there is none. It needs the feature `store`. Only one process can
    /// use it at a time: a second one waits up to 30 seconds until the first one closes it. By default `None`.
    pub file: Option<PathBuf>,
    /// Time after a write at which it is saved, with everything that was written meanwhile. By default 50 milliseconds.
    #[serde(with = "option_value::time")]
    pub save_every: Duration,
    /// `true` rejects writes to `io.data` while they cannot be saved. By default `false`: while the store fails, the
    /// host goes on with the data in memory, announces [`HostEvent::StoreFailed`](crate::HostEvent::StoreFailed), and
    /// tries again each second.
    pub required: bool,
}

impl Default for DataOptions {
    fn default() -> Self {
        Self {
            file: None,
            save_every: Duration::from_millis(50),
            required: false,
        }
    }
}

impl DataOptions {
    pub(super) fn validate(&self) -> Result<(), InvalidOption> {
        match &self.file {
            Some(_) if cfg!(not(feature = "store")) => Err(InvalidOption::new(
                "data.file",
                "a build with the feature `store`",
            )),
            _ => Ok(()),
        }
    }
}
