//! URLs: `url`.

use form_urlencoded::{Serializer, parse as pairs};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rhai::{
    Dynamic, Engine, EvalAltResult, INT, ImmutableString, Map, Module, NativeCallContext,
    combine_with_exported_module, plugin::export_module,
};

use super::Fallible;
use crate::{
    diagnostic::type_word,
    script::{budget::produce, limit, placed},
};

/// Characters that JavaScript's `encodeURIComponent` escapes.
const COMPONENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'!')
    .remove(b'~')
    .remove(b'*')
    .remove(b'\'')
    .remove(b'(')
    .remove(b')');

pub(super) fn register(engine: &mut Engine) {
    let mut module = Module::new();
    combine_with_exported_module!(&mut module, "url", functions);
    engine.register_static_module("url", module.into());
}

/// Returns a value of a query as JavaScript writes it.
fn query_value(name: &str, value: &Dynamic) -> Fallible<String> {
    if let Ok(number) = value.as_float() {
        return Ok(number.to_string());
    }
    if value.is_string() || value.is_char() || value.is_int() || value.is_bool() {
        return Ok(value.to_string());
    }
    let got = type_word(value.type_name());
    Err(format!("`url::query`: the value of `{name}` is {got}").into())
}

/// Returns `true` if each `%` of a string is followed by two hexadecimal digits.
fn has_whole_escapes(text: &str) -> bool {
    text.split('%').skip(1).all(|rest| {
        let digits = rest.bytes().take(2).filter(u8::is_ascii_hexdigit);
        digits.count() == 2
    })
}

/// Returns `true` if nothing but a valid port follows the host of a URL.
fn has_valid_port(uri: &axum::http::Uri) -> bool {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let address = authority.rsplit('@').next().unwrap_or_default();
    let rest = address.strip_prefix(uri.host().unwrap_or_default());
    rest.is_some_and(|rest| {
        let port = rest.strip_prefix(':').unwrap_or_default();
        rest.is_empty() || rest == ":" || port.parse::<u16>().is_ok()
    })
}

/// Parses a query string. If a name occurs several times, the last value counts, as in `socket.handshake.query`.
fn query_map(query: &str) -> Fallible<Map> {
    produce(query.len())?;
    let most = limit(|limits| limits.map_size);
    let mut map = Map::new();
    for (name, value) in pairs(query.as_bytes()) {
        map.insert((&*name).into(), value.into_owned().into());
        if map.len() > most {
            return Err(format!("`url::parse_query`: more than {most} names").into());
        }
    }
    Ok(map)
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Percent-encodes a string as one segment of a path or one value in a query string. The equivalent in Node is
    /// `encodeURIComponent`.
    ///
    /// ```rhai
    /// print("https://example.com/search?q=" + url::encode("fish & chips"));
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn encode(
        context: NativeCallContext<'_>,
        text: &str,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        placed(&context, || {
            produce(3 * text.len())?;
            Ok(utf8_percent_encode(text, COMPONENT).to_string().into())
        })
    }

    /// Decodes the percent-encoded characters (`%20`) of a string. Throws if the result is not UTF-8. The equivalent in
    /// Node is `decodeURIComponent`.
    ///
    /// ```rhai
    /// print(url::decode("fish%20%26%20chips"));
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn decode(
        context: NativeCallContext<'_>,
        text: &str,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        placed(&context, || {
            produce(text.len())?;
            if !has_whole_escapes(text) {
                return Err("`url::decode`: `%` is not followed by two hexadecimal digits".into());
            }
            let decoded = percent_decode_str(text).decode_utf8();
            let decoded = decoded.map_err(|_| "`url::decode`: the result is not UTF-8")?;
            Ok(decoded.as_ref().into())
        })
    }

    /// Converts a map to a query string, in the order of its keys. The values may be strings, numbers and booleans. The
    /// equivalent in Node is `new URLSearchParams(map).toString()`.
    ///
    /// ```rhai
    /// print("https://example.com/search?" + url::query(#{ q: "fish & chips", page: 2 }));
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn query(
        context: NativeCallContext<'_>,
        map: Map,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        placed(&context, || {
            let mut query = Serializer::new(String::new());
            for (name, value) in &map {
                let text = query_value(name, value)?;
                produce(3 * (name.len() + text.len()))?;
                query.append_pair(name, &text);
            }
            Ok(query.finish().into())
        })
    }

    /// Parses a query string, and returns its names and values as a map of strings. If a name occurs several times, the
    /// last value counts. The equivalent in Node is `Object.fromEntries(new URLSearchParams(query))`.
    ///
    /// ```rhai
    /// let page = url::parse_query("q=fish+%26+chips&page=2").page;
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn parse_query(
        context: NativeCallContext<'_>,
        query: &str,
    ) -> Result<Map, Box<EvalAltResult>> {
        placed(&context, || {
            query_map(query.strip_prefix('?').unwrap_or(query))
        })
    }

    /// Returns the parts of a URL (RFC 3986) as a map: `scheme`, `host`, `port` (`()` if the URL has none), `path`,
    /// `query` (a map) and `fragment`. Throws if the string is not an absolute URL. The equivalent in Node is
    /// `new URL(text)`, which also accepts and normalizes some invalid URLs.
    ///
    /// ```rhai
    /// if url::parse("https://example.com:8080/a?b=c").host == "example.com" { print("it is ours"); }
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn parse(
        context: NativeCallContext<'_>,
        text: &str,
    ) -> Result<Map, Box<EvalAltResult>> {
        placed(&context, || {
            produce(text.len())?;
            let (address, fragment) = text.split_once('#').unwrap_or((text, ""));
            let parsed = address.parse::<axum::http::Uri>().ok();
            let absolute = parsed.and_then(|uri| {
                let scheme = uri.scheme_str().filter(|_| has_valid_port(&uri))?;
                let scheme = scheme.to_ascii_lowercase();
                let host = uri
                    .host()
                    .filter(|host| !host.is_empty())?
                    .to_ascii_lowercase();
                Some((scheme, host, uri))
            });
            let Some((scheme, host, uri)) = absolute else {
                return Err(
                    "`url::parse` takes an absolute URL, such as `https://example.com/path`".into(),
                );
            };
            let port = uri
                .port_u16()
                .map_or(Dynamic::UNIT, |port| Dynamic::from(INT::from(port)));
            Ok(Map::from([
                ("scheme".into(), scheme.into()),
                ("host".into(), host.into()),
                ("port".into(), port),
                ("path".into(), uri.path().to_owned().into()),
                (
                    "query".into(),
                    query_map(uri.query().unwrap_or_default())?.into(),
                ),
                ("fragment".into(), fragment.to_owned().into()),
            ]))
        })
    }
}
