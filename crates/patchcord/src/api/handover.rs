//! Handles of scripts as plain data, for the variables that a process leaves to the next one.

use std::sync::Arc;

use rhai::Dynamic;

use super::{Socket, io::Io};
use crate::connection::{Connection, Namespace, text_of};

/// Returns plain data that identifies a handle in another process; `None` if it exists in this process only.
pub(crate) fn name_handle(handle: &Dynamic) -> Option<Dynamic> {
    let names: Vec<Dynamic> = if let Some(socket) = handle.read_lock::<Socket>() {
        let path = socket.0.namespace().path();
        vec![(&**path).into(), (&**socket.0.id()).into()]
    } else {
        let io = handle.read_lock::<Io>()?;
        io.0.iter().map(|one| (&**one.path()).into()).collect()
    };
    Some(Dynamic::from_array(names))
}

/// Returns the handle that plain data of [`name_handle`] identifies.
pub(crate) fn named_handle(
    names: &Dynamic,
    namespace: &dyn Fn(&str) -> Option<Arc<Namespace>>,
    socket: &dyn Fn(&Arc<Namespace>, &str) -> Arc<Connection>,
) -> Option<Dynamic> {
    let names = names.as_array_ref().ok()?;
    Some(match names.as_slice() {
        [] => Dynamic::from(Io(None)),
        [path] => Dynamic::from(Io(Some(namespace(&text_of(path)?)?))),
        [path, id] => {
            let namespace = namespace(&text_of(path)?)?;
            Dynamic::from(Socket(socket(&namespace, &text_of(id)?)))
        }
        _ => return None,
    })
}
