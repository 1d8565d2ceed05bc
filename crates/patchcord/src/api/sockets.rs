//! `io.sockets`: a list of sockets to which no array limit applies.

use std::sync::Arc;

use rhai::{Array, Dynamic, INT, Module, combine_with_exported_module, plugin::export_module};

use super::socket::Socket;
use crate::{connection::Connection, value::register_type};

/// Sockets at the time of the request.
#[derive(Debug, Clone)]
pub(crate) struct Sockets(pub(super) Vec<Arc<Connection>>);

impl IntoIterator for Sockets {
    type Item = Socket;
    type IntoIter =
        std::iter::Map<std::vec::IntoIter<Arc<Connection>>, fn(Arc<Connection>) -> Socket>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter().map(Socket)
    }
}

pub(super) fn register(module: &mut Module) {
    register_type::<Sockets>(module, "Sockets", |sockets| {
        Some(Dynamic::from_array(
            sockets.clone().into_iter().map(Dynamic::from).collect(),
        ))
    });
    module.set_iterable::<Sockets>();
    combine_with_exported_module!(module, "sockets", functions);
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns the number of sockets.
    ///
    /// ```rhai
    /// print(io.sockets.len());
    /// ```
    #[rhai_fn(name = "len", get = "len", pure)]
    pub(crate) fn count_sockets(sockets: &mut Sockets) -> INT {
        INT::try_from(sockets.0.len()).unwrap_or(INT::MAX)
    }

    /// Returns the sockets as an array.
    ///
    /// ```rhai
    /// let ids = io.sockets.to_array().map(|socket| socket.id);
    /// ```
    #[rhai_fn(name = "to_array", pure)]
    pub(crate) fn sockets_to_array(sockets: &mut Sockets) -> Array {
        sockets.clone().into_iter().map(Dynamic::from).collect()
    }
}
