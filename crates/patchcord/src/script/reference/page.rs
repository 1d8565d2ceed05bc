//! Pages of the reference.

/// Page of the reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Page {
    /// Functions that the host calls.
    Hooks,
    /// `socket`.
    Socket,
    /// `emit` and the operators.
    Sending,
    /// `io`, rooms and sockets.
    Namespace,
    /// `io.data` and `socket.data`.
    Data,
    /// Functions without a receiver, and those of an application.
    Functions,
    /// Services: everything that scripts reach beyond their clients.
    Services,
    /// Strings.
    Strings,
    /// Arrays.
    Arrays,
    /// Maps.
    Maps,
    /// Numbers.
    Numbers,
    /// Binary data.
    Binary,
}

/// Names and namespaces of services.
const SERVICES: [&str; 7] = ["cron", "db", "env", "http", "jwt", "metrics", "password"];

impl Page {
    /// All pages, in reading order.
    pub const ALL: [Self; 12] = [
        Self::Hooks,
        Self::Socket,
        Self::Sending,
        Self::Namespace,
        Self::Data,
        Self::Functions,
        Self::Services,
        Self::Strings,
        Self::Arrays,
        Self::Maps,
        Self::Numbers,
        Self::Binary,
    ];

    /// Returns the name of the page, as in its URL.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hooks => "hooks",
            Self::Socket => "socket",
            Self::Sending => "sending",
            Self::Namespace => "namespace",
            Self::Data => "data",
            Self::Functions => "functions",
            Self::Services => "services",
            Self::Strings => "strings",
            Self::Arrays => "arrays",
            Self::Maps => "maps",
            Self::Numbers => "numbers",
            Self::Binary => "binary",
        }
    }

    /// Returns the title of the page.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Hooks => "Hooks",
            Self::Socket => "A socket",
            Self::Sending => "Sending",
            Self::Namespace => "A namespace",
            Self::Data => "Data",
            Self::Functions => "Functions",
            Self::Services => "Services",
            Self::Strings => "Strings",
            Self::Arrays => "Arrays",
            Self::Maps => "Maps",
            Self::Numbers => "Numbers",
            Self::Binary => "Binary data",
        }
    }

    /// Returns the page of a function that is called on these receivers. `roots` are its name, or its namespaces.
    pub(super) fn new<'a>(receivers: &[String], mut roots: impl Iterator<Item = &'a str>) -> Self {
        if roots.any(|root| SERVICES.contains(&root)) {
            return Self::Services;
        }
        let is = |name: &str| receivers.iter().any(|receiver| receiver == name);
        match receivers.first().map(String::as_str) {
            _ if is("operator") => Self::Sending,
            Some("socket") => Self::Socket,
            Some("io" | "rooms" | "sockets") => Self::Namespace,
            Some("data") => Self::Data,
            Some("text" | "regex") => Self::Strings,
            Some("list") => Self::Arrays,
            Some("map") => Self::Maps,
            Some("number") => Self::Numbers,
            Some("binary") => Self::Binary,
            Some("secret" | "res" | "database") => Self::Services,
            _ => Self::Functions,
        }
    }
}
