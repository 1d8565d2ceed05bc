//! The handshake: what is known of a client before it is accepted, and the answer to it.

use rhai::{Dynamic, FnPtr};

use crate::connection::Verdict;

/// What `on_handshake(socket, next)` gets as `next`: `next.call()` accepts the client, `next.call(reason)` refuses it.
#[allow(
    deprecated,
    reason = "`from_dyn_fn` is marked volatile, not deprecated, and there is no other way"
)]
pub(crate) fn next(verdict: Verdict) -> Dynamic {
    let call = move |_: rhai::NativeCallContext<'_>, args: &mut [&mut Dynamic]| {
        verdict.give(match args.first() {
            Some(given) if !given.is_unit() => {
                Err(reason(given).unwrap_or_else(|| given.to_string()))
            }
            _ => Ok(()),
        });
        Ok(Dynamic::UNIT)
    };
    FnPtr::from_dyn_fn("next", Box::new(call)).map_or(Dynamic::UNIT, Dynamic::from)
}

/// The reason that a script gives a client: a text, or the `message` of a map.
pub(crate) fn reason(thrown: &Dynamic) -> Option<String> {
    if let Ok(map) = thrown.as_map_ref() {
        return map
            .get("message")
            .and_then(|message| message.clone().into_string().ok());
    }
    thrown.clone().into_string().ok()
}
