//! Binary attachments, as scripts receive them.

use rhai::{
    Blob, Dynamic, EvalAltResult, INT, ImmutableString, Module, combine_with_exported_module,
    plugin::export_module,
};

use crate::{
    script::produce,
    value::{Binary, register_type},
};

pub(crate) fn register(module: &mut Module) {
    register_type::<Binary>(module, "Binary", |binary| {
        Some(Dynamic::from_blob(binary.as_bytes().to_vec()))
    });
    combine_with_exported_module!(module, "binary", functions);
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns the number of bytes. `type_of` of such a value is `"Binary"`; that of a Rhai blob is `"blob"`.
    ///
    /// ```rhai
    /// socket.on("upload", |bytes| bytes.len());
    /// ```
    #[rhai_fn(name = "len", get = "len", pure)]
    pub(crate) fn len(binary: &mut Binary) -> INT {
        INT::try_from(binary.len()).unwrap_or(INT::MAX)
    }

    /// Returns the byte at an index, or `()` if there is none. A negative index counts from the end.
    ///
    /// ```rhai
    /// socket.on("upload", |bytes| bytes[0]);
    /// ```
    #[rhai_fn(index_get, pure)]
    pub(crate) fn index(binary: &mut Binary, place: INT) -> Dynamic {
        binary.get(place).map_or(Dynamic::UNIT, Dynamic::from)
    }

    /// Returns `len` bytes from index `start`, without copying them. A negative index counts from the end.
    ///
    /// ```rhai
    /// socket.on("upload", |bytes| bytes.slice(0, 16));
    /// ```
    #[rhai_fn(pure)]
    pub(crate) fn slice(binary: &mut Binary, start: INT, len: INT) -> Binary {
        binary.slice(start, len)
    }

    /// Decodes the bytes as UTF-8, and returns them as a string. Throws if they are not UTF-8. The equivalent in Node
    /// is `new TextDecoder("utf-8", { fatal: true }).decode(bytes)`.
    ///
    /// ```rhai
    /// socket.on("upload", |bytes| bytes.to_text());
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn to_text(binary: &mut Binary) -> Result<ImmutableString, Box<EvalAltResult>> {
        produce(binary.len())?;
        let text = std::str::from_utf8(binary.as_bytes());
        let text = text.map_err(|error| {
            format!(
                "`to_text`: the bytes are not UTF-8 at index {}",
                error.valid_up_to()
            )
        })?;
        Ok(text.into())
    }

    /// Returns a copy of the data as a Rhai blob, which can be changed.
    ///
    /// ```rhai
    /// socket.on("upload", |bytes| { let blob = bytes.to_blob(); blob[0] = 1; blob });
    /// ```
    #[rhai_fn(pure)]
    pub(crate) fn to_blob(binary: &mut Binary) -> Blob {
        binary.to_blob()
    }
}
