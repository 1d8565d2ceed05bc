//! Keys of JSON Web Tokens: secret texts, and keys in PEM.

use std::sync::Arc;

use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, EncodingKey};
use rhai::{Dynamic, ImmutableString};

use crate::{diagnostic::type_word, value::Secret};

/// Beginning of a key in PEM.
const PEM: &str = "-----BEGIN";

/// Returns the text of a key, which is a string or a secret.
pub(super) fn text(function: &str, key: &Dynamic) -> Result<Arc<str>, String> {
    let text = if let Some(secret) = key.read_lock::<Secret>() {
        secret.reveal()?
    } else if let Some(text) = key.read_lock::<ImmutableString>() {
        Arc::from(text.as_str())
    } else {
        let got = type_word(key.type_name());
        return Err(format!(
            "`{function}` takes a secret or a string as its key, and got {got}"
        ));
    };
    match text.is_empty() {
        true => Err(format!("`{function}`: the key is empty")),
        false => Ok(text),
    }
}

/// Returns the part of a key that is PEM; `None` if the key is a secret text. A file may have more before the key, such
/// as the mark of its encoding, and must not be taken for a secret: it is public.
fn pem(key: &str) -> Option<&str> {
    key.get(key.find(PEM)?..)
}

/// Checks that a secret text is not a key in another form.
fn secret(key: &str) -> Result<&[u8], String> {
    let is_other = key.trim_start().starts_with('{') || key.starts_with("ssh-");
    match is_other {
        true => Err("the key is neither a secret text nor a key in PEM".to_owned()),
        false => Ok(key.as_bytes()),
    }
}

/// Parses the key with which signatures are verified.
pub(super) fn decoding(key: &str) -> Result<DecodingKey, String> {
    let Some(key) = pem(key) else {
        return DecodingKey::from_secret(secret(key)?).map_err(|error| error.to_string());
    };
    let bytes = key.as_bytes();
    if key.contains("PRIVATE KEY-----") {
        return Err("the key is private; signatures are verified with the public key".to_owned());
    }
    DecodingKey::from_rsa_pem(bytes)
        .or_else(|_| DecodingKey::from_ec_pem(bytes))
        .or_else(|_| DecodingKey::from_ed_pem(bytes))
        .map_err(|_| "the key is no public key in PEM (RSA, EC or Ed25519)".to_owned())
}

/// Parses the key with which tokens are signed.
pub(super) fn encoding(key: &str) -> Result<EncodingKey, String> {
    let Some(key) = pem(key) else {
        return EncodingKey::from_secret(secret(key)?).map_err(|error| error.to_string());
    };
    let bytes = key.as_bytes();
    if key.contains("PUBLIC KEY-----") {
        return Err("the key is public; tokens are signed with the private key".to_owned());
    }
    EncodingKey::from_rsa_pem(bytes)
        .or_else(|_| EncodingKey::from_ec_pem(bytes))
        .or_else(|_| EncodingKey::from_ed_pem(bytes))
        .map_err(|_| "the key is no private key in PEM (RSA, EC in PKCS #8, or Ed25519)".to_owned())
}

/// Returns the algorithm that is used with keys of a family unless another one is named.
pub(super) const fn default_algorithm(family: AlgorithmFamily) -> Algorithm {
    match family {
        AlgorithmFamily::Hmac => Algorithm::HS256,
        AlgorithmFamily::Rsa => Algorithm::RS256,
        AlgorithmFamily::Ec => Algorithm::ES256,
        AlgorithmFamily::Ed => Algorithm::EdDSA,
    }
}

/// Parses the name of an algorithm, which must be one for keys of this family.
pub(super) fn algorithm(name: &str, family: AlgorithmFamily) -> Result<Algorithm, String> {
    let algorithm = name.parse::<Algorithm>().map_err(|_| {
        format!("there is no algorithm `{name}`; such as `HS256`, `RS256`, `ES256`, `EdDSA`")
    })?;
    match family.algorithms().contains(&algorithm) {
        true => Ok(algorithm),
        false => {
            let of = match family {
                AlgorithmFamily::Hmac => "a secret text",
                AlgorithmFamily::Rsa => "an RSA key",
                AlgorithmFamily::Ec => "an EC key",
                AlgorithmFamily::Ed => "an Ed25519 key",
            };
            Err(format!("`{name}` does not work with {of}"))
        }
    }
}
