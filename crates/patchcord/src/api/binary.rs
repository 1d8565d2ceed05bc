//! Binary attachments, as scripts receive them.

use rhai::{Blob, Dynamic, INT, Module, combine_with_exported_module, plugin::export_module};

use crate::value::Binary;

pub(crate) fn register(module: &mut Module) {
    module.set_custom_type::<Binary>("Binary");
    combine_with_exported_module!(module, "binary", functions);
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns the number of bytes. `type_of` of such a value is `"Binary"`, and that of Rhai's own blobs is `"blob"`.
    ///
    /// ```rhai
    /// socket.on("upload", |bytes| bytes.len());
    /// ```
    #[rhai_fn(name = "len", get = "len", pure)]
    pub(crate) fn len(binary: &mut Binary) -> INT {
        INT::try_from(binary.len()).unwrap_or(INT::MAX)
    }

    /// Returns the byte at an index, or `()` beyond the end. A negative index counts from the end.
    ///
    /// ```rhai
    /// socket.on("upload", |bytes| bytes[0]);
    /// ```
    #[rhai_fn(index_get, pure)]
    pub(crate) fn index(binary: &mut Binary, place: INT) -> Dynamic {
        binary.get(place).map_or(Dynamic::UNIT, Dynamic::from)
    }

    /// Returns a part of the data, without copying it. A negative start counts from the end.
    ///
    /// ```rhai
    /// socket.on("upload", |bytes| bytes.slice(0, 16));
    /// ```
    #[rhai_fn(pure)]
    pub(crate) fn slice(binary: &mut Binary, start: INT, len: INT) -> Binary {
        binary.slice(start, len)
    }

    /// Returns a copy as Rhai's own blob, which can be changed.
    ///
    /// ```rhai
    /// socket.on("upload", |bytes| { let blob = bytes.to_blob(); blob[0] = 1; blob });
    /// ```
    #[rhai_fn(pure)]
    pub(crate) fn to_blob(binary: &mut Binary) -> Blob {
        binary.to_blob()
    }
}
