//! Hashes: `hash`.

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit, Mac};
use rhai::{
    Dynamic, Engine, EvalAltResult, ImmutableString, Module, NativeCallContext,
    combine_with_exported_module, plugin::export_module,
};
use sha2::{Digest, Sha256, Sha512};
use subtle::ConstantTimeEq;

use super::{Fallible, bytes::with_bytes};
use crate::script::placed;

pub(super) fn register(engine: &mut Engine) {
    let mut module = Module::new();
    combine_with_exported_module!(&mut module, "hash", functions);
    engine.register_static_module("hash", module.into());
}

fn digest<D: Digest>(function: &str, value: &Dynamic) -> Fallible<ImmutableString> {
    with_bytes(function, value, |bytes| {
        HEXLOWER.encode(&D::digest(bytes)).into()
    })
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    clippy::needless_pass_by_value,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns the SHA-256 hash (FIPS 180-4) of a string (in UTF-8) or of binary data, as 64 hexadecimal digits. Do not
    /// use it for passwords, because it is too fast to compute. The equivalent in Node is
    /// `crypto.createHash("sha256").update(value).digest("hex")`.
    ///
    /// ```rhai
    /// socket.on("upload", |bytes| hash::sha256(bytes));
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn sha256(
        context: NativeCallContext<'_>,
        value: Dynamic,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        placed(&context, || digest::<Sha256>("hash::sha256", &value))
    }

    /// Returns the SHA-512 hash (FIPS 180-4) of a string (in UTF-8) or of binary data, as 128 hexadecimal digits.
    ///
    /// ```rhai
    /// print(hash::sha512("hello"));
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn sha512(
        context: NativeCallContext<'_>,
        value: Dynamic,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        placed(&context, || digest::<Sha512>("hash::sha512", &value))
    }

    /// Returns the HMAC-SHA-256 (RFC 2104) of a value, as 64 hexadecimal digits. The key and the value are strings or
    /// binary data. Use it to sign values that a client sends back later. The equivalent in Node is
    /// `crypto.createHmac("sha256", key).update(value).digest("hex")`.
    ///
    /// ```rhai
    /// const KEY = "a long secret";
    ///
    /// fn on_connection(socket) {
    ///     socket.on("seat", |seat| #{ seat: seat, signature: hash::hmac_sha256(global::KEY, `seat ${seat}`) });
    /// }
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn hmac_sha256(
        context: NativeCallContext<'_>,
        key: Dynamic,
        value: Dynamic,
    ) -> Result<ImmutableString, Box<EvalAltResult>> {
        placed(&context, || {
            let mac = with_bytes("hash::hmac_sha256", &key, Hmac::<Sha256>::new_from_slice)?;
            let mut mac = mac.map_err(|error| error.to_string())?;
            with_bytes("hash::hmac_sha256", &value, |bytes| mac.update(bytes))?;
            Ok(HEXLOWER.encode(&mac.finalize().into_bytes()).into())
        })
    }

    /// Returns `true` if two strings or binary values have the same bytes. The comparison takes the same time wherever
    /// the values differ, so that an attacker cannot guess a signature byte by byte; `==` does not guarantee this. The
    /// equivalent in Node is `crypto.timingSafeEqual`, which throws if the lengths differ.
    ///
    /// ```rhai
    /// socket.on("confirm", |seat, signature| {
    ///     hash::equal(signature, hash::hmac_sha256("a long secret", `seat ${seat}`))
    /// });
    /// ```
    #[rhai_fn(return_raw)]
    pub(crate) fn equal(
        context: NativeCallContext<'_>,
        a: Dynamic,
        b: Dynamic,
    ) -> Result<bool, Box<EvalAltResult>> {
        placed(&context, || {
            with_bytes("hash::equal", &a, |a| {
                with_bytes("hash::equal", &b, |b| bool::from(a.ct_eq(b)))
            })?
        })
    }
}
