//! Runs `on_connection` as drafts, without effects, to find out what the code registers for a live connection.

use std::sync::Arc;

use rhai::Dynamic;

use super::diagnose;
use crate::{
    api::{self, Socket},
    connection::{Connection, Draft, DraftResult, Drafts, Turn},
    diagnostic::Diagnostic,
    script::{CallError, Handler, Hook, Version},
};

/// Drafts of one live connection, and whether they fail.
#[derive(Debug)]
pub(in crate::host) struct Drafted {
    pub(in crate::host) drafts: Drafts,
    pub(in crate::host) fails: Fails,
}

/// Comparison of the failures of the old and the new `on_connection` on a connection.
#[derive(Debug)]
pub(in crate::host) enum Fails {
    No,
    /// The new one fails, and so does the old one.
    Still(Box<Diagnostic>),
    /// Only the new one fails.
    Now(Box<Diagnostic>),
}

/// Returns `true` if the code that `on_connection` itself runs differs between two versions, or if closures of the new
/// version need a variable of `on_connection` that they have not captured.
pub(in crate::host) fn are_needed(old: &Arc<Version>, new: &Version) -> bool {
    let hook = Hook::Connection;
    old.reach(hook).hash() != new.reach(hook).hash() || new.needs_variables(old, hook)
}

/// Runs `on_connection` of both versions as drafts for a connection.
pub(in crate::host) fn pair(
    connection: &Arc<Connection>,
    (old, new): (&Arc<Version>, &Arc<Version>),
) -> Drafted {
    let (frozen, tape) = (api::freeze(), connection.tape());
    let tape = tape.as_deref();
    let calls = || Some(new.calls_from(old));
    let draft = |calls| Draft::new(frozen, tape, calls);
    let (base, base_result) = run(connection, old, Hook::Connection, draft(None));
    let (mut made, mut result) = run(connection, new, Hook::Connection, draft(calls()));
    if timed_out(&result) {
        // The machine may have been busy. If the second run also times out, the script is too slow.
        made.registered.release();
        (made, result) = run(connection, new, Hook::Connection, draft(calls()));
    }
    let problem = result.map(|(handler, error)| {
        let call = &"`on_connection`, as a draft for a live connection";
        Box::new(diagnose(connection, &handler, error, call))
    });
    let fails = match (base_result, problem) {
        (_, None) => Fails::No,
        (Some(_), Some(problem)) => Fails::Still(problem),
        (None, Some(problem)) => Fails::Now(problem),
    };
    Drafted {
        drafts: Drafts::new(old.clone(), base, made),
        fails,
    }
}

/// Runs the new `on_connection` once more, in the connection's turn, if it calls functions that return what they
/// change, such as `io.data.incr`. In this run, these calls take effect: each connection gets a result of its own, and
/// all connections see the changes.
///
/// # Errors
/// Returns the failure. In that case, nothing of the drafts must be adopted.
pub(super) fn for_real(
    connection: &Arc<Connection>,
    new: &Arc<Version>,
    drafts: Drafts,
) -> Result<Drafts, (Handler, CallError)> {
    if !drafts.new.draws {
        return Ok(drafts);
    }
    drafts.new.registered.release();
    let tape = connection.tape();
    let calls = Some(new.calls_from(&drafts.from));
    let draft = Draft::new(api::freeze(), tape.as_deref(), calls).for_real();
    let (made, failure) = run(connection, new, Hook::Connection, draft);
    let drafts = Drafts::new(drafts.from, drafts.base, made);
    match failure {
        None => Ok(drafts),
        Some(failure) => {
            drafts.release();
            Err(failure)
        }
    }
}

/// Runs `on_load` of both versions as drafts, for closures that need variables of `on_load`.
pub(super) fn of_load(
    unit: &Arc<Connection>,
    (old, new): (&Arc<Version>, &Arc<Version>),
) -> Drafts {
    let (frozen, tape) = (api::freeze(), unit.tape());
    let draft = || Draft::new(frozen, tape.as_deref(), None);
    let (base, _) = run(unit, old, Hook::Load, draft());
    let (made, _) = run(unit, new, Hook::Load, draft());
    Drafts::new(old.clone(), base, made)
}

pub(in crate::host) type Failure = Option<(Handler, CallError)>;

/// Runs a hook of a version as a draft.
pub(in crate::host) fn run(
    connection: &Arc<Connection>,
    version: &Arc<Version>,
    hook: Hook,
    draft: Draft,
) -> (DraftResult, Failure) {
    if hook == Hook::Connection {
        connection.begin_data(&draft);
    }
    let draft = Arc::new(draft);
    let Some(handler) = Handler::of_hook(version, hook) else {
        return Default::default();
    };
    let socket = Dynamic::from(Socket(connection.clone()));
    let turn = Turn::draft(connection.clone(), draft.clone());
    let result = turn.run(|| handler.call(vec![socket]));
    let made = draft.made(connection.data());
    (made, result.err().map(|error| (handler, error)))
}

fn timed_out(result: &Failure) -> bool {
    result.as_ref().is_some_and(|(_, error)| error.is_time())
}
