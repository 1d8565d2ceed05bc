//! Conversion of bytes to strings and back: `base64` and `hex`.

use data_encoding::{
    BASE64, BASE64URL_NOPAD, DecodeError, DecodeKind, Encoding, HEXLOWER, HEXLOWER_PERMISSIVE,
};
use rhai::{
    Blob, Dynamic, Engine, EvalAltResult, ImmutableString, Module, NativeCallContext,
    combine_with_exported_module, plugin::export_module,
};

use super::Fallible;
use crate::{
    diagnostic::type_word,
    script::{budget::produce, misuse, placed},
    value::{Binary, Secret},
};

pub(super) fn register(engine: &mut Engine) {
    let mut module = Module::new();
    combine_with_exported_module!(&mut module, "base64", base64);
    engine.register_static_module("base64", module.into());
    let mut module = Module::new();
    combine_with_exported_module!(&mut module, "hex", hex);
    engine.register_static_module("hex", module.into());
}

/// Passes the bytes of a value to `read`: the UTF-8 bytes of a string, or binary data. Charges the call for them.
pub(super) fn with_bytes<T>(
    function: &str,
    value: &Dynamic,
    read: impl FnOnce(&[u8]) -> T,
) -> Fallible<T> {
    let read = |bytes: &[u8]| produce(bytes.len()).map(|()| read(bytes));
    if let Some(text) = value.read_lock::<ImmutableString>() {
        return read(text.as_bytes());
    }
    if let Some(secret) = value.read_lock::<Secret>() {
        return read(secret.reveal().map_err(misuse)?.as_bytes());
    }
    if let Some(binary) = value.read_lock::<Binary>() {
        return read(binary.as_bytes());
    }
    if let Some(blob) = value.read_lock::<Blob>() {
        return read(&blob);
    }
    let got = type_word(value.type_name());
    Err(format!("`{function}` takes a string or binary data, and got {got}").into())
}

/// Encodes a value. The encoded text of a secret is a secret.
fn encode(function: &str, value: &Dynamic, encoding: &Encoding) -> Fallible<Dynamic> {
    let text = with_bytes(function, value, |bytes| {
        produce(encoding.encode_len(bytes.len()))?;
        Ok::<_, Box<EvalAltResult>>(encoding.encode(bytes))
    })??;
    Ok(match value.is::<Secret>() {
        true => Dynamic::from(Secret::new(text)),
        false => text.into(),
    })
}

fn decode(function: &str, text: &[u8], encoding: &Encoding) -> Fallible<Binary> {
    produce(text.len())?;
    let wrong = |error: DecodeError| {
        let index = error.position;
        match error.kind {
            DecodeKind::Length => format!("`{function}`: the end of the string is missing"),
            _ => format!("`{function}`: the string is not valid at index {index}"),
        }
    };
    Ok(encoding.decode(text).map(Binary::from).map_err(wrong)?)
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod base64 {
    /// Encodes a string (in UTF-8) or binary data as Base64 (RFC 4648, section 4), with padding. The result for a secret
    /// is a secret too. The equivalent in Node
    /// is `Buffer.from(value).toString("base64")`.
    ///
    /// ```rhai
    /// print(base64::encode("hello"));    // aGVsbG8=
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn encode(
        context: NativeCallContext<'_>,
        value: Dynamic,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        placed(&context, || {
            super::encode("base64::encode", &value, &BASE64)
        })
    }

    /// Encodes a string or binary data as Base64 for URLs and file names (RFC 4648, section 5), without padding. The
    /// equivalent in Node is `Buffer.from(value).toString("base64url")`.
    ///
    /// ```rhai
    /// print(base64::encode_url("a?b>c"));    // YT9iPmM
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn encode_url(
        context: NativeCallContext<'_>,
        value: Dynamic,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        placed(&context, || {
            super::encode("base64::encode_url", &value, &BASE64URL_NOPAD)
        })
    }

    /// Decodes a Base64 string to binary data. Accepts both alphabets, with or without padding. Throws if the string is
    /// not valid; Node ignores invalid characters.
    ///
    /// ```rhai
    /// socket.on("upload", |text| socket.emit("file", base64::decode(text)));
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn decode(
        context: NativeCallContext<'_>,
        text: &str,
    ) -> Result<Binary, Box<EvalAltResult>> {
        placed(&context, || {
            let padded = text.strip_suffix('=').unwrap_or(text);
            let text = padded.strip_suffix('=').unwrap_or(padded).bytes();
            let text: Vec<u8> = text
                .map(|byte| match byte {
                    b'+' => b'-',
                    b'/' => b'_',
                    other => other,
                })
                .collect();
            super::decode("base64::decode", &text, &BASE64URL_NOPAD)
        })
    }
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod hex {
    /// Encodes a string (in UTF-8) or binary data as lower-case hexadecimal digits. The equivalent in Node is
    /// `Buffer.from(value).toString("hex")`.
    ///
    /// ```rhai
    /// print(hex::encode("hi"));    // 6869
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn encode(
        context: NativeCallContext<'_>,
        value: Dynamic,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        placed(&context, || super::encode("hex::encode", &value, &HEXLOWER))
    }

    /// Decodes a string of hexadecimal digits, in upper or lower case, to binary data. Throws if the string is not
    /// valid; Node stops at the first invalid character.
    ///
    /// ```rhai
    /// print(hex::decode("6869").to_text());    // hi
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn decode(
        context: NativeCallContext<'_>,
        text: &str,
    ) -> Result<Binary, Box<EvalAltResult>> {
        placed(&context, || {
            super::decode("hex::decode", text.as_bytes(), &HEXLOWER_PERMISSIVE)
        })
    }
}
