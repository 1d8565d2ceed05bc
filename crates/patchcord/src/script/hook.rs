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
        }
    }

    /// All hooks.
    pub const ALL: [Self; 6] = [
        Self::Handshake,
        Self::Connection,
        Self::Disconnect,
        Self::Load,
        Self::Reload,
        Self::Api,
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
        }
    }

    /// Returns the maximum number of parameters of the function.
    pub const fn parameters(self) -> usize {
        match self {
            Self::Load => 0,
            Self::Connection => 1,
            Self::Handshake | Self::Disconnect | Self::Reload | Self::Api => 2,
        }
    }
}
