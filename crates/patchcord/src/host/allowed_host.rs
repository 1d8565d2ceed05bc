//! Names that clients may send in the header `Host` of a request.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

const ANY: &str = "*";
/// Prefix of an entry that allows all subdomains of a name.
const BELOW: &str = "*.";
/// Name of the machine itself, which browsers never look up.
const LOCAL: &str = "localhost";
/// Maximum length of a name in the domain name system, in bytes.
const MAX_LENGTH: usize = 253;

/// Name that clients may send in the header `Host`, without a port: `example.com`. `*.example.com` stands for all
/// subdomains of `example.com`, and `*` for every name. It is parsed from text, and case is ignored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AllowedHost(String);

/// Error for a text that is not an [`AllowedHost`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a name without a scheme and a port, such as `example.com` or `*.example.com`, or `*`"
)]
#[non_exhaustive]
pub struct BadHost;

impl AllowedHost {
    /// Returns `true` if this entry covers a name that [`name`] has returned.
    pub(super) fn matches(&self, name: &str) -> bool {
        match self.0.strip_prefix(BELOW) {
            Some(parent) => is_below(name, parent),
            None => self.0 == ANY || self.0 == name,
        }
    }

    /// Returns advice for an operator whose server rejects requests with the name `host`; `None` if no entry can allow
    /// it. The advice never suggests an entry that allows more than this one name.
    #[doc(hidden)]
    pub fn hint(host: &str) -> Option<String> {
        let name = name(host).filter(|name| !name.starts_with(ANY))?;
        let allowed: Self = name.parse().ok()?;
        Some(format!(
            "`--allowed-host {allowed}` allows it; without that, pages of other sites could use this server through \
             their visitors"
        ))
    }
}

impl FromStr for AllowedHost {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        if text == ANY {
            return Ok(Self(text.to_owned()));
        }
        let lower = text.to_ascii_lowercase();
        let lower = lower.strip_suffix('.').unwrap_or(&lower);
        let domain = lower.strip_prefix(BELOW).unwrap_or(lower);
        let is_label = |label: &str| {
            let valid = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            !label.is_empty() && label.chars().all(valid)
        };
        match domain.len() <= MAX_LENGTH && domain.split('.').all(is_label) {
            true => Ok(Self(lower.to_owned())),
            false => Err(BadHost),
        }
    }
}

impl TryFrom<String> for AllowedHost {
    type Error = BadHost;

    fn try_from(text: String) -> Result<Self, BadHost> {
        text.parse()
    }
}

impl From<AllowedHost> for String {
    fn from(parsed: AllowedHost) -> Self {
        parsed.0
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Returns the name in a `Host` header, without the port and in lower case; `None` if there is none. An IPv6 address
/// keeps its brackets.
pub(super) fn name(host: &str) -> Option<String> {
    let after_address = host.rfind(']').unwrap_or_default();
    let colon = host.get(after_address..)?.find(':');
    let (name, port) = match colon {
        Some(colon) => host.split_at_checked(after_address + colon)?,
        None => (host, ""),
    };
    let port = port.strip_prefix(':').unwrap_or(port);
    let name = name.strip_suffix('.').unwrap_or(name);
    let is_name = !name.is_empty() && port.chars().all(|c| c.is_ascii_digit());
    is_name.then(|| name.to_ascii_lowercase())
}

/// Returns `true` if no other site can have this name, because it is an IP address or the name of the machine itself.
pub(super) fn is_local(name: &str) -> bool {
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'));
    let is_address = address.unwrap_or(name).parse::<IpAddr>().is_ok();
    is_address || name == LOCAL || is_below(name, LOCAL)
}

fn is_below(name: &str, parent: &str) -> bool {
    let child = name
        .strip_suffix(parent)
        .and_then(|child| child.strip_suffix('.'));
    child.is_some_and(|child| !child.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_matches_its_name_and_a_star_all_names_below() {
        let matches = |entry: &str, host: &str| {
            let entry: AllowedHost = entry.parse().unwrap();
            name(host).is_some_and(|name| entry.matches(&name))
        };
        for (entry, host, expected) in [
            ("example.com", "example.com", true),
            ("Example.COM.", "EXAMPLE.com.:8080", true),
            ("example.com", "a.example.com", false),
            ("example.com", "example.com.evil", false),
            ("*.example.com", "a.b.example.com:1", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "evilexample.com", false),
            ("*", "anything", true),
            ("*", "", false),
            ("*", "a:b", false),
        ] {
            assert_eq!(matches(entry, host), expected, "{entry} {host}");
        }
        for text in [
            "",
            ".",
            "a..b",
            "https://a.com",
            "a.com:80",
            "*.",
            "a.*",
            "**",
            "a b",
            "münchen.de",
        ] {
            assert_eq!(text.parse::<AllowedHost>(), Err(BadHost), "{text}");
        }
    }

    #[test]
    fn addresses_and_names_of_the_machine_itself_are_local() {
        for host in [
            "localhost",
            "LOCALHOST.:3000",
            "app.localhost",
            "127.0.0.1:3000",
            "192.168.1.7",
            "[::1]",
            "[2001:db8::1]:80",
        ] {
            assert!(is_local(&name(host).unwrap()), "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "evillocalhost",
            ".localhost",
            "127.0.0.1.evil.example",
            "1.2.3",
            "[::1",
            "[evil]",
        ] {
            assert!(name(host).is_none_or(|name| !is_local(&name)), "{host}");
        }
    }
}
