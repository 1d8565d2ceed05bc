//! Verification of tokens.

use data_encoding::BASE64URL_NOPAD;
use jsonwebtoken::{
    Algorithm, AlgorithmFamily, DecodingKey, Validation,
    errors::{Error, ErrorKind},
};
use rhai::{Dynamic, EvalAltResult, INT, ImmutableString, Map};
use serde_json::value::RawValue;

use super::key;
use crate::{
    host::services::given::Given,
    script::{misuse, parse_json, produce},
};

/// Maximum length of a token, in bytes.
const MAX_TOKEN: usize = 64 << 10;
/// Difference between clocks that is tolerated by default, in milliseconds.
const LEEWAY: INT = 30_000;
/// Maximum of the tolerated difference, in milliseconds: an hour.
const MAX_LEEWAY: INT = 60 * 60 * 1_000;
/// Maximum number of bytes of the name of an algorithm that a message shows.
const MAX_NAME: usize = 16;

pub(super) type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// Returns the text of a token.
pub(super) fn text(token: &Dynamic) -> Fallible<ImmutableString> {
    let Some(token) = token.read_lock::<ImmutableString>() else {
        return Err("the token is not a string".into());
    };
    match token.len() > MAX_TOKEN {
        true => Err(format!("the token is longer than {MAX_TOKEN} bytes").into()),
        false => Ok(token.clone()),
    }
}

/// Returns the id of the key that has signed a token, as the token claims.
#[cfg(feature = "http")]
pub(super) fn key_id(token: &str) -> Option<String> {
    jsonwebtoken::decode_header(token).ok()?.kid
}

/// Verifies a token with a key. `algorithm` is the one that is accepted unless the options name others.
pub(super) fn check(
    token: &str,
    key: &DecodingKey,
    algorithm: Algorithm,
    options: Map,
) -> Fallible<Dynamic> {
    produce(token.len())?;
    let validation = validation(key.family(), algorithm, options).map_err(misuse)?;
    let decoded = jsonwebtoken::decode::<Box<RawValue>>(token.as_bytes(), key, &validation);
    let decoded = decoded.map_err(|error| explain(&error, token, &validation.algorithms))?;
    parse_json(decoded.claims.get())
}

/// Checks options before the key is known: everything but the names of algorithms, which depend on the key.
#[cfg(feature = "http")]
pub(super) fn check_options(mut options: Map) -> Result<(), String> {
    options.remove("algorithms");
    validation(AlgorithmFamily::Rsa, Algorithm::RS256, options).map(drop)
}

fn validation(
    family: AlgorithmFamily,
    algorithm: Algorithm,
    options: Map,
) -> Result<Validation, String> {
    let known = [
        "algorithms",
        "issuer",
        "audience",
        "subject",
        "leeway",
        "exp",
    ];
    let mut given = Given::new("jwt::verify", options, &known)?;
    let mut validation = Validation::new(algorithm);
    if let Some(names) = given.strings("algorithms")? {
        if names.is_empty() {
            return Err("option `algorithms` of `jwt::verify` names none".to_owned());
        }
        let algorithms = names.iter().map(|name| key::algorithm(name, family));
        validation.algorithms = algorithms.collect::<Result<_, _>>()?;
    }
    let leeway = given.integer("leeway", (0, MAX_LEEWAY))?.unwrap_or(LEEWAY);
    validation.leeway = leeway.unsigned_abs() / 1_000;
    validation.validate_nbf = true;
    if given.flag("exp")? == Some(false) {
        validation.validate_exp = false;
        validation.required_spec_claims.clear();
    }
    let mut required = |claim: &str| validation.required_spec_claims.insert(claim.to_owned());
    if let Some(issuers) = given.strings("issuer")? {
        required("iss");
        validation.iss = Some(issuers.into_iter().collect());
    }
    if let Some(audiences) = given.strings("audience")? {
        validation.required_spec_claims.insert("aud".to_owned());
        validation.aud = Some(audiences.into_iter().collect());
    }
    if let Some(subject) = given.string("subject")? {
        validation.required_spec_claims.insert("sub".to_owned());
        validation.sub = Some(subject);
    }
    Ok(validation)
}

/// Explains why a token is not accepted.
fn explain(error: &Error, token: &str, allowed: &[Algorithm]) -> String {
    match error.kind() {
        ErrorKind::ExpiredSignature => "the token has expired".to_owned(),
        ErrorKind::ImmatureSignature => "the token is not valid yet".to_owned(),
        ErrorKind::InvalidSignature => "the signature of the token does not match".to_owned(),
        ErrorKind::InvalidIssuer => "the token has another issuer".to_owned(),
        ErrorKind::InvalidAudience => "the token is for another audience".to_owned(),
        ErrorKind::InvalidSubject => "the token has another subject".to_owned(),
        ErrorKind::InvalidAlgorithm => {
            format!("the token has another algorithm than {allowed:?}")
        }
        ErrorKind::MissingRequiredClaim(claim) => format!("the token has no `{claim}`"),
        ErrorKind::InvalidClaimFormat(claim) => {
            format!("the `{claim}` of the token has another type")
        }
        _ => match unknown_algorithm(token) {
            Some(name) => format!("the token has the algorithm `{name}`, which is not supported"),
            None => "the token is malformed".to_owned(),
        },
    }
}

/// Returns the algorithm of a token, if it is none that could be accepted, such as `none`.
fn unknown_algorithm(token: &str) -> Option<String> {
    let (header, _) = token.split_once('.')?;
    let header = BASE64URL_NOPAD.decode(header.as_bytes()).ok()?;
    let header: serde_json::Value = serde_json::from_slice(&header).ok()?;
    let name = header.get("alg")?.as_str()?;
    let name = name.get(..MAX_NAME).unwrap_or(name);
    name.parse::<Algorithm>().is_err().then(|| name.to_owned())
}
