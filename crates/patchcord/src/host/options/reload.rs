//! Options for reloads.

use std::{path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::script::{InvalidOption, option_value};

/// Reaction to an edit whose `on_connection` fails on a live connection where that of the previous version did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum OnRebindFailure {
    /// The edit is rejected for all connections, and they keep the previous version.
    #[default]
    Reject,
    /// The clients of these connections are disconnected, and all others get the new version.
    Disconnect,
}

/// Options for reloads: how edits are found, and when they take effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
#[non_exhaustive]
pub struct ReloadOptions {
    /// Interval at which the watch polls the files for changes. `None`, the default, means that the operating system
    /// notifies the watch of changes.
    #[serde(with = "option_value::optional_time")]
    pub poll: Option<Duration>,
    /// Grace period for missing files. A script whose file is missing keeps serving for this time. A script that fails
    /// because one of its files is missing or empty is reported only after this time, because an editor may be in the
    /// middle of a save. By default 2 seconds.
    #[serde(with = "option_value::time")]
    pub missing_grace: Duration,
    /// Reaction to an edit that fails on a live connection. By default the edit is rejected.
    pub on_rebind_failure: OnRebindFailure,
    /// `true` automatically rolls back a version whose handlers fail at places where those of the previous version did
    /// not: on at least five connections, and on at least one in twenty, within 30 seconds. A value that a script
    /// throws on purpose (`throw "too long"`) is an answer, and does not count. The whole batch is rolled back, as by
    /// [`Host::rollback`](crate::Host::rollback). By default `false`.
    pub rollback_on_errors: bool,
    /// Folder in which the host keeps versions with their texts, so that it knows them after a restart: the last 100
    /// batches, and those whose versions serve. A version that was rolled back does not serve after a restart either,
    /// unless its files have changed. Only one host can use the folder at a time. `None`, the default, keeps eight
    /// earlier versions of each script in memory.
    pub history: Option<PathBuf>,
}

impl Default for ReloadOptions {
    fn default() -> Self {
        Self {
            poll: None,
            missing_grace: Duration::from_secs(2),
            on_rebind_failure: OnRebindFailure::Reject,
            rollback_on_errors: false,
            history: None,
        }
    }
}

impl ReloadOptions {
    pub(super) fn validate(&self) -> Result<(), InvalidOption> {
        if let Some(poll) = self.poll {
            InvalidOption::check_times(&[("reload.poll", poll)])?;
        }
        InvalidOption::check_longest("reload.missing_grace", self.missing_grace)
    }
}
