//! Calls `on_api`, for a backend that calls a namespace.

use std::sync::Arc;

use rhai::{Dynamic, Map};

use super::{Dispatcher, diagnose, is_at_throw};
use crate::{
    api,
    connection::{ApiCall, ApiFailure, Connection, Turn},
    diagnostic::{Diagnostic, Origin},
    event::HostEvent,
    script::{CallError, Handler, Hook},
    value,
};

/// Description of the call in diagnostics.
const CALL: &str = "`on_api`";

impl Dispatcher {
    /// Answers a call of a backend, in the turn of the namespace's unit.
    pub(super) fn api(&self, unit: &Arc<Connection>, mut call: ApiCall) {
        if call.is_abandoned() {
            return;
        }
        let version = unit.version();
        let Some(hook) = version.and_then(|version| Handler::of_hook(&version, Hook::Api)) else {
            return call.answer(Err(ApiFailure::NoHook));
        };
        let args = vec![request(&mut call)];
        let answered = match Turn::new(unit.clone()).run(|| hook.call(args)) {
            Ok(answer) => self.written(unit, &hook, answer),
            Err(error) => Err(self.api_failed(unit, &hook, error)),
        };
        call.answer(answered);
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
        if let Some(failure) = thrown.and_then(|thrown| meant(&thrown)) {
            return failure;
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

/// Returns the failure of a thrown value: with its string, its `message`, or its JSON. Returns `None` if the value has
/// none of them.
fn meant(thrown: &Dynamic) -> Option<ApiFailure> {
    let message = api::reason(thrown).or_else(|| value::to_json(thrown).ok())?;
    let data = thrown.is_map().then(|| value::to_json(thrown).ok());
    Some(ApiFailure::Thrown {
        message,
        data: data.flatten(),
    })
}
