//! Answer of a script to a handshake: it accepts the client, or rejects it with a reason.

use rhai::Dynamic;

use super::registration::closure;
use crate::connection::HandshakeReply;

/// Returns the closure that `on_handshake(socket, next)` receives as `next`: `next.call()` accepts the client, and
/// `next.call(reason)` rejects it.
pub(crate) fn next(verdict: HandshakeReply) -> Dynamic {
    closure("next", move |args| {
        verdict.give(match args.first() {
            Some(given) if !given.is_unit() => {
                Err(reason(given).unwrap_or_else(|| given.to_string()))
            }
            _ => Ok(()),
        });
        Ok(Dynamic::UNIT)
    })
}

/// Returns the reason for the client from a value that a script has thrown or passed to `next`: the string itself, or
/// the `message` of a map.
pub(crate) fn reason(thrown: &Dynamic) -> Option<String> {
    if let Ok(map) = thrown.as_map_ref() {
        return map
            .get("message")
            .and_then(|message| message.clone().into_string().ok());
    }
    thrown.clone().into_string().ok()
}
