//! Operations of the HTTP API.

use serde::Serialize;

/// Operation of the HTTP API: the last segment of its path, such as `emit` in `/api/emit`.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, strum::IntoStaticStr,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
#[non_exhaustive]
pub enum Operation {
    /// Sends an event to sockets.
    Emit,
    /// Makes sockets join rooms.
    Join,
    /// Makes sockets leave rooms.
    Leave,
    /// Disconnects sockets.
    Disconnect,
    /// Lists sockets.
    Sockets,
    /// Lists rooms.
    Rooms,
    /// Counts sockets.
    Count,
    /// Calls `on_api` of a script.
    Call,
}

impl Operation {
    /// All operations.
    pub const ALL: [Self; 8] = [
        Self::Emit,
        Self::Join,
        Self::Leave,
        Self::Disconnect,
        Self::Sockets,
        Self::Rooms,
        Self::Count,
        Self::Call,
    ];

    /// Returns the name of the operation, such as `emit`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the operation with a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.name() == name)
    }

    /// Returns `true` if a repetition of the operation has an effect.
    pub(super) const fn has_effect(self) -> bool {
        !matches!(self, Self::Sockets | Self::Rooms | Self::Count)
    }
}
