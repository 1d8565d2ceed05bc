//! `jwt`: JSON Web Tokens (RFC 7519).

mod crypto;
#[cfg(feature = "http")]
mod jwks;
mod key;
mod verify;

use jsonwebtoken::Header;
use rhai::{Dynamic, INT, ImmutableString, Map};
use serde_json::value::RawValue;

#[cfg(feature = "http")]
use self::jwks::Jwks;
#[cfg(feature = "http")]
pub(super) use self::jwks::{with_key_sets, with_type_names};
use self::verify::Fallible;
use super::given::Given;
use crate::{
    api::now,
    host::functions::{Functions, Signature},
    script::{misuse, produce},
    value::to_json,
};

/// Maximum time after which a signed token expires, in milliseconds: ten years.
const MAX_EXPIRES_IN: INT = 10 * 365 * 24 * 60 * 60 * 1_000;

/// Returns the module `jwt`.
pub(super) fn functions() -> Functions {
    crypto::install();
    Functions::new()
        .function(
            Signature::new("verify(token, key)").doc(VERIFY),
            |token: Dynamic, key: Dynamic| verify(&token, &key, Map::new()),
        )
        .function(
            Signature::new("verify(token, key, options)").doc(VERIFY_WITH),
            |token: Dynamic, key: Dynamic, options: Map| verify(&token, &key, options),
        )
        .function(
            Signature::new("sign(claims, key)").doc(SIGN),
            |claims: Map, key: Dynamic| sign(claims, &key, Map::new()),
        )
        .function(
            Signature::new("sign(claims, key, options)").doc(SIGN_WITH),
            |claims: Map, key: Dynamic, options: Map| sign(claims, &key, options),
        )
}

const VERIFY: &str = "\
Verifies a JSON Web Token (RFC 7519), and returns its claims as a map. The key is a secret text for HS256, or a public \
key in PEM for RS256 (RSA), ES256 (EC) or EdDSA (Ed25519). Throws if the signature does not match, if the token has \
expired or has no `exp`, if it is not valid yet (`nbf`), or if it has an `aud`, which only the option `audience` \
accepts. `alg: none` is never accepted. The clocks may differ by 30 seconds. In `on_handshake`, what it throws is the \
`connect_error` of the client. In Node a library does this, such as `jsonwebtoken`, which does not require `exp`.

```rhai
fn on_handshake(socket) {
    let claims = jwt::verify(socket.handshake.auth.token, env(\"JWT_SECRET\"));
    socket.data.user = claims.sub;
}
```";

const VERIFY_WITH: &str = "\
Verifies a JSON Web Token with options:

* `algorithms`: the algorithms that are accepted, such as `[\"RS256\", \"PS256\"]`. They must fit the key: HS256, HS384, \
HS512; RS256 to RS512, PS256 to PS512; ES256, ES384; EdDSA.
* `issuer`: a string, or several; the `iss` of the token must be one of them.
* `audience`: a string, or several; the `aud` of the token must have one of them.
* `subject`: a string; the `sub` of the token.
* `leeway`: tolerated difference of clocks in ms; 30,000 by default, at most an hour.
* `exp`: `false` also accepts tokens without `exp`, and ones that have expired.

```rhai
fn on_handshake(socket) {
    let options = #{ algorithms: [\"HS256\"], issuer: \"https://example.com\", audience: \"chat\" };
    let claims = jwt::verify(socket.handshake.auth.token, env(\"JWT_SECRET\"), options);
    socket.data.user = claims.sub;
}
```";

const SIGN: &str = "\
Returns a JSON Web Token with these claims, signed with HS256 (a secret text), RS256, ES256 or EdDSA (a private key in \
PEM). It has the time of signing as `iat`, and expires after an hour unless the claims have an `exp`, in seconds since \
1970.

```rhai
let token = jwt::sign(#{ sub: \"7\" }, env(\"JWT_SECRET\"));
```";

const SIGN_WITH: &str = "\
Returns a JSON Web Token with options: `algorithm`, such as `\"HS512\"`; `expires_in`, the time in ms after which it \
expires (an hour by default; `false` for never); `kid`, the id of the key in the header of the token.

```rhai
let token = jwt::sign(#{ sub: \"7\" }, env(\"JWT_SECRET\"), #{ expires_in: 600_000 });
```";

fn verify(token: &Dynamic, key: &Dynamic, options: Map) -> Fallible<Dynamic> {
    let token = verify::text(token)?;
    #[cfg(feature = "http")]
    if let Some(keys) = key.read_lock::<Jwks>() {
        let found = keys.known(verify::key_id(&token).as_deref())?;
        return verify::check(&token, &found.key, found.algorithm, options);
    }
    let key = key::text("jwt::verify", key).and_then(|key| key::decoding(&key));
    let key = key.map_err(misuse)?;
    verify::check(&token, &key, key::default_algorithm(key.family()), options)
}

/// Signs a token; every error is a mistake of the script or of the configuration.
fn sign(claims: Map, key: &Dynamic, options: Map) -> Fallible<ImmutableString> {
    let token = signed(claims, key, options).map_err(misuse)?;
    produce(token.len())?;
    Ok(token)
}

fn signed(mut claims: Map, key: &Dynamic, options: Map) -> Result<ImmutableString, String> {
    let key = key::encoding(&key::text("jwt::sign", key)?)?;
    let mut given = Given::new("jwt::sign", options, &["algorithm", "expires_in", "kid"])?;
    let algorithm = given.string("algorithm")?;
    let algorithm = match algorithm {
        Some(name) => key::algorithm(&name, key.family())?,
        None => key::default_algorithm(key.family()),
    };
    let mut header = Header::new(algorithm);
    header.kid = given.string("kid")?;
    let now = now() / 1_000;
    claims.entry("iat".into()).or_insert_with(|| now.into());
    if let Some(expires_in) = expires_in(&mut given)? {
        let expires = || (now + expires_in / 1_000).into();
        claims.entry("exp".into()).or_insert_with(expires);
    }
    let text = to_json(&claims.into()).map_err(|error| error.to_string())?;
    let claims = RawValue::from_string(text).map_err(|error| error.to_string())?;
    let token = jsonwebtoken::encode(&header, &claims, &key);
    let token = token.map_err(|_| "the key cannot sign with this algorithm".to_owned())?;
    Ok(token.into())
}

/// Time in milliseconds after which a token expires, unless `expires_in` says otherwise: an hour.
const EXPIRES_IN: INT = 60 * 60 * 1_000;

/// Returns the time after which the token expires; `None` for never.
fn expires_in(given: &mut Given) -> Result<Option<INT>, String> {
    match given.take("expires_in") {
        Some(value) if value.as_bool() == Ok(false) => Ok(None),
        Some(value) => {
            let expected = format!("`false`, or an integer from 1 to {MAX_EXPIRES_IN}");
            let number = value.as_int().ok();
            let number = number.filter(|number| (1..=MAX_EXPIRES_IN).contains(number));
            let wrong = || given.wrong("expires_in", &expected, &value);
            number.map(Some).ok_or_else(wrong)
        }
        None => Ok(Some(EXPIRES_IN)),
    }
}
