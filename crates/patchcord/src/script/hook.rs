//! Functions of a script that the host calls by name, with their documentation.

/// Top-level functions that a host calls by their fixed names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Hook {
    /// `on_handshake(socket)`, or `on_handshake(socket, next)`
    Handshake,
    /// `on_connection(socket)`
    Connection,
    /// `on_disconnect(socket, reason)`
    Disconnect,
    /// `on_load()`
    Load,
    /// `on_reload(socket)`, or `on_reload(socket, before)`
    Reload,
    /// `on_api(request)`, or `on_api(request, reply)`
    Api,
    /// `on_present(key)`, or `on_present(key, meta)`
    Present,
    /// `on_absent(key)`, or `on_absent(key, meta)`
    Absent,
}

impl Hook {
    /// Returns the name of the function.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "on_handshake",
            Self::Connection => "on_connection",
            Self::Disconnect => "on_disconnect",
            Self::Load => "on_load",
            Self::Reload => "on_reload",
            Self::Api => "on_api",
            Self::Present => "on_present",
            Self::Absent => "on_absent",
        }
    }

    /// All hooks.
    pub const ALL: [Self; 8] = [
        Self::Handshake,
        Self::Connection,
        Self::Disconnect,
        Self::Load,
        Self::Reload,
        Self::Api,
        Self::Present,
        Self::Absent,
    ];

    /// Returns the name of the function with its parameters.
    pub const fn signature(self) -> &'static str {
        match self {
            Self::Handshake => "on_handshake(socket, next)",
            Self::Connection => "on_connection(socket)",
            Self::Disconnect => "on_disconnect(socket, reason)",
            Self::Load => "on_load()",
            Self::Reload => "on_reload(socket, before)",
            Self::Api => "on_api(request, reply)",
            Self::Present => "on_present(key, meta)",
            Self::Absent => "on_absent(key, meta)",
        }
    }

    /// Returns its documentation in Markdown, with an example.
    pub const fn doc(self) -> &'static str {
        match self {
            Self::Handshake => include_str!("hooks/handshake.md"),
            Self::Connection => include_str!("hooks/connection.md"),
            Self::Disconnect => include_str!("hooks/disconnect.md"),
            Self::Load => include_str!("hooks/load.md"),
            Self::Reload => include_str!("hooks/reload.md"),
            Self::Api => include_str!("hooks/api.md"),
            Self::Present => include_str!("hooks/present.md"),
            Self::Absent => include_str!("hooks/absent.md"),
        }
    }

    /// Returns the maximum number of parameters of the function.
    pub const fn parameters(self) -> usize {
        match self {
            Self::Load => 0,
            Self::Connection => 1,
            Self::Handshake
            | Self::Disconnect
            | Self::Reload
            | Self::Api
            | Self::Present
            | Self::Absent => 2,
        }
    }
}
