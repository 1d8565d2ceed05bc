//! Hosts that scripts may reach over the network.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::host::address::is_public;

/// Maximum length of a rule, in bytes.
const MAX_LENGTH: usize = 300;
/// Name of this machine.
const LOCALHOST: &str = "localhost";

/// Host that scripts may reach over the network. It is parsed from text, and case is ignored:
///
/// | text | what it allows |
/// |---|---|
/// | `api.example.com` | this host, on any port |
/// | `api.example.com:8443` | this host, on this port |
/// | `https://api.example.com` | this host, with this scheme only |
/// | `*.example.com` | all hosts below `example.com` |
/// | `10.0.0.5:8080`, `[::1]:80` | this address |
/// | `10.0.0.0/8` | all addresses of this network |
/// | `*` | every public host |
///
/// A name is reached only at public addresses, whatever it resolves to. A loopback, private or link-local address needs
/// a rule for the address or for its network, in addition to the rule for the name. Only `localhost` includes the
/// loopback addresses.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NetRule {
    scheme: Option<Scheme>,
    host: Pattern,
    port: Option<u16>,
}

/// Error for a text that is not a [`NetRule`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected a host, such as `api.example.com`, `*.example.com:8443`, `10.0.0.5:80`, `10.0.0.0/8` or `*`"
)]
#[non_exhaustive]
pub struct BadNetRule;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scheme {
    Http,
    Https,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Pattern {
    Any,
    Name(String),
    Below(String),
    Network(IpAddr, u8),
}

/// Destination of a request.
#[derive(Debug, Clone, Copy)]
pub(in crate::host) struct Destination<'a> {
    /// `http` or `https`.
    pub(in crate::host) scheme: &'a str,
    /// Name or address, without brackets, in lower case.
    pub(in crate::host) host: &'a str,
    pub(in crate::host) port: u16,
}

impl NetRule {
    /// Returns `true` if the rule allows requests to this destination.
    pub(in crate::host) fn allows(&self, to: Destination<'_>) -> bool {
        let host = match (&self.host, to.host.parse::<IpAddr>()) {
            (Pattern::Any, Ok(address)) => is_public(address),
            (Pattern::Any, Err(_)) => true,
            (Pattern::Network(network, bits), Ok(address)) => contains(*network, *bits, address),
            (Pattern::Network(..), Err(_)) | (_, Ok(_)) => false,
            (Pattern::Name(name), Err(_)) => name == to.host,
            (Pattern::Below(parent), Err(_)) => {
                let child = to.host.strip_suffix(parent.as_str());
                child.is_some_and(|child| child.len() > 1 && child.ends_with('.'))
            }
        };
        host && self.fits(to)
    }

    /// Returns `true` if the rule allows the connection to an address that is not public, which a name has resolved to.
    pub(in crate::host) fn allows_address(&self, to: Destination<'_>, address: IpAddr) -> bool {
        let host = match &self.host {
            Pattern::Network(network, bits) => contains(*network, *bits, address),
            Pattern::Name(rule) => rule == to.host && to.host == LOCALHOST && address.is_loopback(),
            Pattern::Any | Pattern::Below(_) => false,
        };
        host && self.fits(to)
    }

    /// Returns `true` if the scheme and the port of the rule, as far as it has them, are those of the destination.
    fn fits(&self, to: Destination<'_>) -> bool {
        self.scheme.is_none_or(|scheme| scheme.name() == to.scheme)
            && self.port.is_none_or(|port| port == to.port)
    }
}

/// Returns `true` if a network, which has this many bits in common, contains the address.
fn contains(network: IpAddr, bits: u8, address: IpAddr) -> bool {
    let differ = match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            { (network.to_bits() ^ address.to_bits()).checked_shr(32 - u32::from(bits)) }
                .map(u128::from)
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            (network.to_bits() ^ address.to_bits()).checked_shr(128 - u32::from(bits))
        }
        _ => return false,
    };
    // A shift by all bits means that no bit is compared.
    differ.unwrap_or_default() == 0
}

impl FromStr for NetRule {
    type Err = BadNetRule;

    fn from_str(text: &str) -> Result<Self, BadNetRule> {
        let text = text.to_ascii_lowercase();
        if text.len() > MAX_LENGTH {
            return Err(BadNetRule);
        }
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            Some(("https", rest)) => (Some(Scheme::Https), rest),
            Some(_) => return Err(BadNetRule),
            None => (None, text.as_str()),
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        if let Some((network, bits)) = rest.split_once('/') {
            let host = network_of(network, bits).ok_or(BadNetRule)?;
            return Ok(Self {
                scheme,
                host,
                port: None,
            });
        }
        // An IPv6 address has colons of its own.
        let (host, port) = match (rest.rsplit_once(':'), rest.parse::<IpAddr>()) {
            (Some((host, port)), Err(_)) if !port.ends_with(']') => (host, Some(port)),
            _ => (rest, None),
        };
        let port = port.map(|port| {
            port.parse()
                .ok()
                .filter(|port| *port != 0)
                .ok_or(BadNetRule)
        });
        Ok(Self {
            scheme,
            host: pattern(host).ok_or(BadNetRule)?,
            port: port.transpose()?,
        })
    }
}

fn network_of(network: &str, bits: &str) -> Option<Pattern> {
    let network: IpAddr = network.parse().ok()?;
    let most = if network.is_ipv4() { 32 } else { 128 };
    let bits = bits.parse::<u8>().ok().filter(|bits| *bits <= most)?;
    Some(Pattern::Network(network, bits))
}

fn pattern(host: &str) -> Option<Pattern> {
    let bare = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    if let Ok(address) = bare.unwrap_or(host).parse::<IpAddr>() {
        let bits = if address.is_ipv4() { 32 } else { 128 };
        return Some(Pattern::Network(address, bits));
    }
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    let is_name = |name: &str| name.split('.').all(is_label);
    match host.strip_prefix("*.") {
        Some(parent) if is_name(parent) => Some(Pattern::Below(parent.to_owned())),
        None if host == "*" => Some(Pattern::Any),
        None if is_name(host) => Some(Pattern::Name(host.to_owned())),
        _ => None,
    }
}

impl TryFrom<String> for NetRule {
    type Error = BadNetRule;

    fn try_from(text: String) -> Result<Self, BadNetRule> {
        text.parse()
    }
}

impl From<NetRule> for String {
    fn from(rule: NetRule) -> Self {
        rule.to_string()
    }
}

impl fmt::Display for NetRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(scheme) = self.scheme {
            write!(f, "{}://", scheme.name())?;
        }
        match &self.host {
            Pattern::Any => f.write_str("*")?,
            Pattern::Name(name) => f.write_str(name)?,
            Pattern::Below(parent) => write!(f, "*.{parent}")?,
            Pattern::Network(address, bits) => match (address, bits) {
                (IpAddr::V4(address), 32) => address.fmt(f)?,
                (IpAddr::V6(address), 128) => write!(f, "[{address}]")?,
                _ => write!(f, "{address}/{bits}")?,
            },
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(rule: &str, url: &str) -> bool {
        let (scheme, rest) = url.split_once("://").unwrap();
        let (host, port) = rest.rsplit_once(':').unwrap();
        let host = host.trim_start_matches('[').trim_end_matches(']');
        rule.parse::<NetRule>().unwrap().allows(Destination {
            scheme,
            host,
            port: port.parse().unwrap(),
        })
    }

    #[test]
    fn a_rule_allows_its_host_port_and_scheme() {
        for (rule, url, expected) in [
            ("example.com", "https://example.com:443", true),
            ("example.com", "http://example.com:8080", true),
            ("example.com", "https://a.example.com:443", false),
            ("example.com", "https://example.com.evil:443", false),
            ("Example.COM:8443", "https://example.com:8443", true),
            ("example.com:8443", "https://example.com:443", false),
            ("https://example.com", "https://example.com:443", true),
            ("https://example.com/", "http://example.com:80", false),
            ("*.example.com", "https://a.b.example.com:443", true),
            ("*.example.com", "https://example.com:443", false),
            ("*.example.com", "https://evilexample.com:443", false),
            ("*.example.com", "https://.example.com:443", false),
            ("*", "https://example.com:443", true),
            ("*", "http://8.8.8.8:80", true),
            ("*", "http://127.0.0.1:80", false),
            ("*", "http://[::ffff:10.0.0.1]:80", false),
            ("10.0.0.5:80", "http://10.0.0.5:80", true),
            ("10.0.0.5:80", "http://10.0.0.5:81", false),
            ("10.0.0.5", "http://[::ffff:10.0.0.5]:81", true),
            ("10.0.0.0/8", "http://10.200.3.4:80", true),
            ("10.0.0.0/8", "http://11.0.0.1:80", false),
            ("0.0.0.0/0", "http://11.0.0.1:80", true),
            ("fd00::/8", "http://[fd12::1]:80", true),
            ("fd00::/8", "http://[fe80::1]:80", false),
            ("[::1]:80", "http://[::1]:80", true),
            ("::1", "http://[::1]:81", true),
        ] {
            assert_eq!(allows(rule, url), expected, "{rule} {url}");
        }
    }

    #[test]
    fn a_name_reaches_addresses_that_are_not_public_only_by_a_rule_for_them() {
        let allows = |rule: &str, host: &str, address: &str| {
            let rule: NetRule = rule.parse().unwrap();
            let to = Destination {
                scheme: "http",
                host,
                port: 80,
            };
            rule.allows_address(to, address.parse().unwrap())
        };
        assert!(!allows("127.0.0.1:81", "localhost", "127.0.0.1"));
        assert!(!allows("https://127.0.0.1", "localhost", "127.0.0.1"));
        assert!(allows("10.0.0.0/8", "api.internal", "10.1.2.3"));
        assert!(allows("127.0.0.1", "example.com", "127.0.0.1"));
        assert!(allows("localhost:80", "localhost", "::1"));
        assert!(!allows("localhost", "example.com", "127.0.0.1"));
        assert!(!allows("localhost", "localhost", "10.0.0.1"));
        assert!(!allows("*", "example.com", "127.0.0.1"));
        assert!(!allows("example.com", "example.com", "127.0.0.1"));
        assert!(!allows("*.example.com", "a.example.com", "169.254.169.254"));
    }

    #[test]
    fn a_rule_is_shown_as_it_can_be_written_and_anything_else_is_refused() {
        for text in [
            "example.com",
            "*.example.com:8443",
            "https://example.com:1",
            "*",
            "10.0.0.5:80",
            "10.0.0.0/8",
            "[::1]:80",
            "fd00::/8",
        ] {
            assert_eq!(text.parse::<NetRule>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "*.",
            "a b",
            "ftp://example.com",
            "example.com:0",
            "example.com:99999",
            "a..b",
            "example.com/path",
            "10.0.0.0/33",
            "user@example.com",
            "*.*.com",
            "http://",
            "[::1",
            "ä.de",
        ] {
            assert!(text.parse::<NetRule>().is_err(), "{text}");
        }
    }
}
