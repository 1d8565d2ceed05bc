//! Calls `on_api`, for a backend that calls a namespace.

use std::sync::Arc;

use rhai::{Dynamic, Map};

use super::{Dispatcher, diagnose, is_at_throw};
use crate::{
    api,
    connection::{ApiCall, ApiFailure, ApiReply, Connection, Turn},
    diagnostic::{Diagnostic, Origin},
    event::HostEvent,
    script::{CallError, Handler, Hook},
    value,
};

/// Description of the call in diagnostics.
const CALL: &str = "`on_api`";

impl Dispatcher {
    /// Answers a call of a backend, in the turn of the namespace's unit. With two parameters, `on_api` answers when it
    /// calls `reply`.
    pub(super) fn api(&self, unit: &Arc<Connection>, mut call: ApiCall) {
        if call.is_abandoned() {
            return;
        }
        let version = unit.version();
        let Some(hook) = version.and_then(|version| Handler::of_hook(&version, Hook::Api)) else {
            return call.answer(Err(ApiFailure::NoHook));
        };
        let waits = hook.parameters() == Some(2);
        let request = request(&mut call);
        let reply = ApiReply::new(call);
        let args = vec![request, api::reply(reply.clone())];
        match Turn::new(unit.clone()).run(|| hook.call(args)) {
            Ok(_) if waits => {}
            Ok(answer) => reply.answer(self.written(unit, &hook, answer)),
            Err(error) => reply.answer(Err(self.api_failed(unit, &hook, error))),
        }
    }

    /// Returns the JSON of an answer.
    fn written(
        &self,
        unit: &Arc<Connection>,
        hook: &Handler,
        answer: Dynamic,
    ) -> Result<String, ApiFailure> {
        let written = api::as_value(answer)
            .map_err(|error| error.to_string())
            .and_then(|answer| value::to_json(&answer).map_err(|error| error.to_string()));
        written.map_err(|problem| {
            let origin = Origin::new(
                &**unit.namespace().path(),
                CALL.to_owned(),
                hook.version().number(),
            );
            let diagnostic = Diagnostic::error(format!("the answer of `on_api`: {problem}"));
            let diagnostic = diagnostic.at(super::place(hook)).from_call(origin);
            self.announcer
                .announce(HostEvent::HandlerFailed { diagnostic });
            ApiFailure::Failed
        })
    }

    /// Returns the failure for the caller. A value that the script threw on purpose is meant for the caller, and every
    /// other failure is announced.
    fn api_failed(&self, unit: &Arc<Connection>, hook: &Handler, error: CallError) -> ApiFailure {
        let thrown = error.thrown();
        let diagnostic = diagnose(unit, hook, error, &CALL);
        let thrown = thrown.filter(|_| is_at_throw(&diagnostic));
        match thrown.map(|thrown| api::refused(&thrown)) {
            None | Some(ApiFailure::Failed) => {}
            Some(meant) => return meant,
        }
        if !hook.is_stale() {
            (self.on_failure)(unit, hook.version(), &diagnostic);
        }
        self.announcer
            .announce(HostEvent::HandlerFailed { diagnostic });
        ApiFailure::Failed
    }
}

/// Returns the parameter of `on_api`.
fn request(call: &mut ApiCall) -> Dynamic {
    let key = call.key.take();
    let args = std::mem::take(&mut call.args);
    Dynamic::from_map(Map::from([
        ("name".into(), std::mem::take(&mut call.name).into()),
        ("args".into(), Dynamic::from_array(args)),
        ("key".into(), key.map_or(Dynamic::UNIT, Dynamic::from)),
    ]))
}
