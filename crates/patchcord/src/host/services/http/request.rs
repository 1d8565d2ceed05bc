//! Request that a script makes, checked and complete.

use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use hyper::{
    HeaderMap, Method,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT},
};
use rhai::{Blob, Dynamic, INT, ImmutableString, Map};
use sha2::Sha256;

pub(super) use super::target::Target;
use crate::{
    host::services::given::Given,
    value::{Binary, HIDDEN, Secret, to_json},
};

/// Maximum size of the body of a request, in bytes.
const MAX_BODY: usize = 256 << 10;
/// Maximum number of headers of a request.
const MAX_HEADERS: usize = 64;
/// Time limit of a request in milliseconds, unless the script sets one.
const TIMEOUT: INT = 10_000;
/// Maximum time limit of a request, in milliseconds.
const MAX_TIMEOUT: INT = 60_000;
/// Maximum size of an answer in bytes, unless the script sets one.
const ANSWER: INT = 1 << 20;
/// Maximum of the maximum size of an answer, in bytes.
const MAX_ANSWER: INT = 16 << 20;
/// Maximum number of further attempts.
const MAX_RETRY: INT = 5;
/// Header with the signature of the body.
const SIGNATURE: HeaderName = HeaderName::from_static("x-signature");
/// Headers that the connection determines.
const RESERVED: [&str; 9] = [
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];
/// Methods that a script can use.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// Request that can be sent.
#[derive(Debug)]
pub(in crate::host::services) struct Prepared {
    pub(super) function: &'static str,
    pub(in crate::host::services) target: Target,
    pub(super) method: Method,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) timeout: Duration,
    /// Maximum size of the body of the answer, in bytes.
    pub(super) max_size: usize,
    /// Maximum number of further attempts.
    pub(super) retry: u32,
}

impl Prepared {
    pub(in crate::host::services) fn new(
        function: &'static str,
        method: &str,
        url: &str,
        options: Map,
    ) -> Result<Self, String> {
        let known = [
            "headers", "query", "body", "json", "form", "timeout", "max_size", "retry", "sign",
        ];
        let mut given = Given::new(function, options, &known)?;
        let method = METHODS
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(method))
            .ok_or_else(|| format!("`{function}` knows no method `{method}`"))?;
        let url = with_query(url, &mut given)?;
        let target = Target::parse(&url).map_err(|problem| format!("`{function}`: {problem}"))?;
        let (body, content_type) = body(function, &mut given)?;
        let is_read = [Method::GET, Method::HEAD].contains(&method);
        if is_read && content_type.is_some() {
            return Err(format!("a request with the method {method} has no body"));
        }
        let mut headers = HeaderMap::new();
        let agent = concat!("patchcord/", env!("CARGO_PKG_VERSION"));
        headers.insert(USER_AGENT, HeaderValue::from_static(agent));
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        for (name, value) in given.map("headers")?.unwrap_or_default() {
            let (name, value) = header(&name, &value)
                .map_err(|problem| format!("header `{name}` of `{function}` {problem}"))?;
            headers.insert(name, value);
        }
        if headers.len() > MAX_HEADERS {
            return Err(format!("`{function}` takes at most {MAX_HEADERS} headers"));
        }
        if let Some(key) = given.take("sign") {
            headers.insert(SIGNATURE, signature(&given, &key, &body)?);
        }
        let timeout = given
            .integer("timeout", (1, MAX_TIMEOUT))?
            .unwrap_or(TIMEOUT);
        let max_size = given
            .integer("max_size", (0, MAX_ANSWER))?
            .unwrap_or(ANSWER);
        let retry = given.integer("retry", (0, MAX_RETRY))?.unwrap_or_default();
        Ok(Self {
            function,
            target,
            method,
            headers,
            body,
            timeout: Duration::from_millis(timeout.unsigned_abs()),
            max_size: usize::try_from(max_size).unwrap_or_default(),
            retry: u32::try_from(retry).unwrap_or_default(),
        })
    }

    /// Returns `true` if the request changes nothing at the other side.
    pub(super) fn is_read(&self) -> bool {
        [Method::GET, Method::HEAD, Method::OPTIONS].contains(&self.method)
    }
}

/// Returns the URL with the parameters of the option `query`.
fn with_query(url: &str, given: &mut Given) -> Result<String, String> {
    let Some(query) = given.map("query")? else {
        return Ok(url.to_owned());
    };
    let (url, fragment) = url
        .split_once('#')
        .map_or((url, ""), |(url, rest)| (url, rest));
    let mut text = form(given, "query", &query)?;
    if !fragment.is_empty() {
        text = format!("{text}#{fragment}");
    }
    let separator = if url.contains('?') { '&' } else { '?' };
    Ok(format!("{url}{separator}{text}"))
}

/// Encodes a map as parameters of a URL or of a form.
fn form(given: &Given, option: &str, map: &Map) -> Result<String, String> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    for (name, value) in map {
        if value.is::<Map>() || value.is::<rhai::Array>() || value.is::<Secret>() {
            return Err(given.wrong(option, "a map of strings and numbers", value));
        }
        form.append_pair(name, &shown(value));
    }
    Ok(form.finish())
}

/// Returns a string, a number or a truth value as text; `()` is empty.
fn shown(value: &Dynamic) -> String {
    match value.is_unit() {
        true => String::new(),
        false => value.to_string(),
    }
}

/// Returns the body and its type, if there is one.
fn body(function: &str, given: &mut Given) -> Result<(Bytes, Option<&'static str>), String> {
    let mut bodies = Vec::new();
    if let Some(value) = given.take("body") {
        bodies.push(if let Some(text) = value.read_lock::<ImmutableString>() {
            (Bytes::from(text.to_string()), "text/plain; charset=utf-8")
        } else if let Some(binary) = value.read_lock::<Binary>() {
            (
                Bytes::copy_from_slice(binary.as_bytes()),
                "application/octet-stream",
            )
        } else if let Some(blob) = value.read_lock::<Blob>() {
            (Bytes::from(blob.clone()), "application/octet-stream")
        } else {
            return Err(given.wrong("body", "a string or binary data", &value));
        });
    }
    if let Some(value) = given.take("json") {
        let text =
            to_json(&value).map_err(|error| format!("option `json` of `{function}`: {error}"))?;
        bodies.push((Bytes::from(text), "application/json"));
    }
    if let Some(map) = given.map("form")? {
        let text = form(given, "form", &map)?;
        bodies.push((Bytes::from(text), "application/x-www-form-urlencoded"));
    }
    if bodies.len() > 1 {
        return Err(format!(
            "`{function}` takes one of `body`, `json` and `form`"
        ));
    }
    let Some((body, content_type)) = bodies.pop() else {
        return Ok((Bytes::new(), None));
    };
    match body.len() > MAX_BODY {
        true => Err(format!(
            "the body of `{function}` is larger than {MAX_BODY} bytes"
        )),
        false => Ok((body, Some(content_type))),
    }
}

/// Returns a header.
fn header(name: &str, value: &Dynamic) -> Result<(HeaderName, HeaderValue), String> {
    let parsed = HeaderName::try_from(name).map_err(|_| "has a name that is not possible")?;
    if RESERVED.contains(&parsed.as_str()) || parsed.as_str().starts_with("proxy-") {
        return Err("is determined by the connection".to_owned());
    }
    let (text, is_secret) = match value.read_lock::<Secret>() {
        Some(secret) => (secret.reveal()?.to_string(), true),
        None if value.is::<Map>() || value.is::<rhai::Array>() => {
            return Err("is not a string".to_owned());
        }
        None => (shown(value), false),
    };
    if text.contains(HIDDEN) {
        let hint = "has a secret in an interpolated string: write `\"Bearer \" + secret`";
        return Err(hint.to_owned());
    }
    let mut value = HeaderValue::try_from(text)
        .map_err(|_| "has a line break or a letter that is not possible")?;
    value.set_sensitive(is_secret);
    Ok((parsed, value))
}

/// Returns the HMAC-SHA-256 of a body.
fn signature(given: &Given, key: &Dynamic, body: &[u8]) -> Result<HeaderValue, String> {
    let key = if let Some(secret) = key.read_lock::<Secret>() {
        secret.reveal()?.to_string()
    } else if let Some(text) = key.read_lock::<ImmutableString>() {
        text.to_string()
    } else {
        return Err(given.wrong("sign", "a secret or a string", key));
    };
    if key.is_empty() {
        return Err("option `sign`: the key is empty".to_owned());
    }
    let mac = Hmac::<Sha256>::new_from_slice(key.as_bytes());
    let mut mac = mac.map_err(|error| error.to_string())?;
    mac.update(body);
    let digits = data_encoding::HEXLOWER.encode(&mac.finalize().into_bytes());
    HeaderValue::try_from(format!("sha256={digits}")).map_err(|error| error.to_string())
}
