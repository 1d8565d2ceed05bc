//! Answer of a script to a call of a backend, given later.

use rhai::Dynamic;

use super::{as_value, handshake::reason, registration::closure};
use crate::{
    connection::{ApiFailure, ApiReply},
    script::misuse,
    value::to_json,
};

/// Returns the closure that `on_api(request, reply)` receives as `reply`: `reply.call(err, value)` answers with the value
/// if `err` is `()`, and otherwise with the error.
pub(crate) fn reply(reply: ApiReply) -> Dynamic {
    closure("reply", move |args| {
        let mut args = args.iter_mut().map(|arg| arg.take());
        let (err, value) = (
            args.next().unwrap_or_default(),
            args.next().unwrap_or_default(),
        );
        if !err.is_unit() {
            reply.answer(Err(refused(&err)));
            return Ok(Dynamic::UNIT);
        }
        let written = as_value(value).map_err(|error| error.to_string());
        let written = written.and_then(|value| to_json(&value).map_err(|error| error.to_string()));
        match written {
            Ok(json) => reply.answer(Ok(json)),
            Err(problem) => {
                reply.answer(Err(ApiFailure::Failed));
                return Err(misuse(format!("the answer of `on_api`: {problem}")));
            }
        }
        Ok(Dynamic::UNIT)
    })
}

/// Returns the failure for an error that a script throws, or passes to `reply`.
pub(crate) fn refused(error: &Dynamic) -> ApiFailure {
    let json = || to_json(error).ok();
    match reason(error).or_else(json) {
        Some(message) => ApiFailure::Thrown {
            message,
            data: error.is_map().then(json).flatten(),
        },
        None => ApiFailure::Failed,
    }
}
