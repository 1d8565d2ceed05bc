//! URL of a PostgreSQL server: how to log in, and whether the connection is encrypted.
//!
//! tokio-postgres parses the URL, except for the parameters of TLS: it does not know all of them, and encrypts nothing
//! here.

use std::path::{Path, PathBuf};

use tokio_postgres::{
    Config,
    config::{ChannelBinding, SslMode, SslNegotiation, TargetSessionAttrs},
};

/// PostgreSQL server of a URL.
#[derive(Debug, Clone)]
pub(in crate::host) struct PostgresServer {
    /// Addresses, and what a login needs. It encrypts nothing.
    pub(in crate::host) config: Config,
    pub(in crate::host) encryption: Encryption,
}

/// Encryption of the connections by TCP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(in crate::host) struct Encryption {
    pub(in crate::host) mode: EncryptionMode,
    /// File with the certificates of the authorities, in place of those of the system.
    pub(in crate::host) authorities: Option<PathBuf>,
}

/// Value of `sslmode`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::host) enum EncryptionMode {
    /// No encryption, also without `sslmode`.
    #[default]
    Disable,
    /// Encryption if the server offers it. Then its certificate must fit, as for `Require`.
    Prefer,
    /// Encryption, and a certificate of a known authority.
    VerifyAuthority,
    /// Encryption, and a certificate of a known authority for the name of the server.
    Require,
}

impl PostgresServer {
    /// Parses a URL. The error does not contain it.
    pub(in crate::host) fn new(url: &str) -> Result<Self, String> {
        let (url, encryption) = Encryption::split(url)?;
        let mut config = url.parse::<Config>().map_err(|error| {
            let reason = std::error::Error::source(&error).map(ToString::to_string);
            let reason = reason.unwrap_or_else(|| error.to_string());
            format!("the URL is not valid: {reason}")
        })?;
        let unsupported = if config.get_target_session_attrs() != TargetSessionAttrs::Any {
            "`target_session_attrs` is not supported: name one server"
        } else if config.get_ssl_negotiation() != SslNegotiation::Postgres {
            "`sslnegotiation=direct` is not supported: remove it from the URL"
        } else if config.get_channel_binding() == ChannelBinding::Require {
            "`channel_binding=require` is not supported: replace it by `sslmode=verify-full`"
        } else if config.get_hosts().is_empty() {
            "the URL names no host"
        } else {
            config.ssl_mode(SslMode::Disable);
            return Ok(Self { config, encryption });
        };
        Err(unsupported.to_owned())
    }

    /// Checks what the URL refers to.
    pub(super) fn validate(&self) -> Result<(), String> {
        match &self.encryption.authorities {
            Some(file) if !file.is_file() => Err(format!(
                "`sslrootcert`: there is no file `{}`",
                file.display()
            )),
            _ => Ok(()),
        }
    }
}

impl Encryption {
    /// Separates the parameters of TLS from the rest of a URL.
    fn split(url: &str) -> Result<(String, Self), String> {
        // A password may contain `?`, and ends where tokio-postgres says: at the first `@`.
        let credentials = url.find('@').unwrap_or_default();
        let query = url.get(credentials..).and_then(|rest| rest.find('?'));
        let Some((address, query)) = query.and_then(|at| url.split_at_checked(credentials + at))
        else {
            return Ok((url.to_owned(), Self::default()));
        };
        let (mut encryption, mut rest) = (Self::default(), Vec::new());
        for parameter in query.trim_start_matches('?').split('&') {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match name {
                "sslmode" => encryption.mode = EncryptionMode::new(value)?,
                "sslrootcert" => encryption.authorities = authorities(value)?,
                _ => rest.push(parameter),
            }
        }
        encryption.check()?;
        Ok((format!("{address}?{}", rest.join("&")), encryption))
    }

    fn check(&self) -> Result<(), String> {
        let problem = match (self.mode, &self.authorities) {
            (EncryptionMode::Disable, Some(_)) => {
                "`sslrootcert` has an effect only with encryption: add `sslmode=verify-full` to the URL"
            }
            (EncryptionMode::VerifyAuthority, None) => {
                "`sslmode=verify-ca` needs `sslrootcert=FILE`, because anybody has a certificate of a public authority: \
                 use `sslmode=verify-full`"
            }
            _ => return Ok(()),
        };
        Err(problem.to_owned())
    }
}

impl EncryptionMode {
    fn new(text: &str) -> Result<Self, String> {
        match text {
            "disable" => Ok(Self::Disable),
            "prefer" => Ok(Self::Prefer),
            "verify-ca" => Ok(Self::VerifyAuthority),
            "require" | "verify-full" => Ok(Self::Require),
            _ => {
                let expected =
                    "expected `sslmode=disable`, `prefer`, `require`, `verify-ca` or `verify-full`";
                Err(expected.to_owned())
            }
        }
    }
}

/// Returns the file of `sslrootcert`; `None` for the authorities of the system.
fn authorities(text: &str) -> Result<Option<PathBuf>, String> {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    match decoded.as_deref() {
        Ok("") | Err(_) => Err("expected `sslrootcert=FILE` or `sslrootcert=system`".to_owned()),
        Ok("system") => Ok(None),
        Ok(file) => Ok(Some(Path::new(file).to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(url: &str) -> Result<Encryption, String> {
        PostgresServer::new(url).map(|server| {
            assert_eq!(server.config.get_ssl_mode(), SslMode::Disable, "{url}");
            server.encryption
        })
    }

    #[test]
    fn the_parameters_of_tls_are_read_and_the_others_stay() {
        let url = "postgres://ada:a?b%40c@h:1/x?application_name=chat&sslmode=verify-ca&sslrootcert=%2Fa%20b&options=-c%20a";
        let server = PostgresServer::new(url).unwrap();
        assert_eq!(server.config.get_password(), Some(&b"a?b@c"[..]));
        assert_eq!(server.config.get_application_name(), Some("chat"));
        assert_eq!(server.config.get_options(), Some("-c a"));
        assert_eq!(server.encryption.mode, EncryptionMode::VerifyAuthority);
        assert_eq!(server.encryption.authorities, Some("/a b".into()));
    }

    #[test]
    fn each_mode_has_its_meaning() {
        for (query, mode) in [
            ("", EncryptionMode::Disable),
            ("?", EncryptionMode::Disable),
            ("?sslmode=disable", EncryptionMode::Disable),
            ("?sslmode=prefer", EncryptionMode::Prefer),
            ("?sslmode=require", EncryptionMode::Require),
            (
                "?sslmode=verify-full&sslrootcert=system",
                EncryptionMode::Require,
            ),
            ("?sslmode=disable&sslmode=require", EncryptionMode::Require),
        ] {
            for url in ["postgres://h", "postgres://ada@h/x", "postgresql://h/x"] {
                let expected = Encryption {
                    mode,
                    authorities: None,
                };
                assert_eq!(
                    parsed(&format!("{url}{query}")),
                    Ok(expected),
                    "{url}{query}"
                );
            }
        }
    }

    #[test]
    fn what_protects_less_than_it_seems_to_is_refused() {
        for (query, part) in [
            ("sslmode=allow", "expected `sslmode=disable`"),
            ("sslmode=", "expected `sslmode=disable`"),
            ("sslmode", "expected `sslmode=disable`"),
            ("sslmode=verify-ca", "needs `sslrootcert=FILE`"),
            (
                "sslmode=verify-ca&sslrootcert=system",
                "needs `sslrootcert=FILE`",
            ),
            ("sslrootcert=/ca.pem", "add `sslmode=verify-full`"),
            (
                "sslmode=require&sslrootcert=",
                "expected `sslrootcert=FILE`",
            ),
            (
                "sslmode=require&sslnegotiation=direct",
                "`sslnegotiation=direct` is not supported",
            ),
            (
                "sslmode=require&channel_binding=require",
                "`channel_binding=require` is not supported",
            ),
            ("sslmode=require&sslcert=a", "unknown option `sslcert`"),
        ] {
            let error = parsed(&format!("postgres://ada:sesame@h/x?{query}")).unwrap_err();
            assert!(
                error.contains(part) && !error.contains("sesame"),
                "{query}: {error}"
            );
        }
    }
}
