//! Makes a connection adopt the version that serves, before its first script call after a switch.

use std::{collections::BTreeSet, sync::Arc};

use rhai::{Array, Dynamic, ImmutableString, Map};

use super::{
    Dispatcher,
    drafts::{self, Drafted, Fails},
};
use crate::{
    api::{self, GLOBALS, Socket},
    connection::{Adopted, Connection, Draft, Drafts, Phase, Turn},
    script::{Handler, Handles, Hook, Version},
    value,
};

impl Dispatcher {
    /// Adopts the version that serves, if the connection has another one. From then on, each closure has the new code.
    /// A call of `on_reload` follows, if any code has changed.
    pub(super) fn adopt(&self, connection: &Arc<Connection>) {
        // A connection that is not connected yet first runs `on_connection` of the version of its handshake, and one
        // whose client is away adopts the version that serves when the client comes back.
        if connection.phase() < Phase::Connected || connection.phase() == Phase::Away {
            return;
        }
        let Some((old, new)) = connection.versions() else {
            return;
        };
        let prepared = connection.prepared(&new);
        let (drafts, report) = match prepared {
            Some(adoption) => (adoption.drafts, Some(adoption.report)),
            None => (None, None),
        };
        if new.starts_over() && connection.is_connected() {
            drafts.iter().for_each(Drafts::release);
            self.start_over(connection, new);
            if let Some(report) = report {
                // The reload may have stopped waiting for the report.
                let _ = report.send(Adopted::anew());
            }
            return;
        }
        let drafts = drafts.filter(|drafts| is_for(drafts, &old));
        let drafts = match drafts {
            None if drafts::are_needed(&old, &new) => late_drafts(connection, (&old, &new)),
            drafts => drafts,
        };
        let drafts = drafts.and_then(|drafts| {
            let real = drafts::for_real(connection, &new, drafts);
            let call = &"`on_connection`, for a live connection";
            let failed = |(hook, error)| self.failed(connection, &hook, error, call);
            real.map_err(failed).ok()
        });
        let handles = handles(connection);
        let before = wants_before(&new).then(|| connection.variables());
        let turn = Turn::new(connection.clone());
        let adopted = turn.run(|| connection.adopt((&old, &new), &handles, drafts));
        if let Some(report) = report {
            // The reload may have stopped waiting for the report.
            let _ = report.send(adopted);
        }
        if old.code() != new.code() {
            self.reloaded(
                connection,
                &new,
                before.map(|variables| (old.number(), variables)),
            );
        }
    }

    /// Adopts the version that serves, for the unit of a namespace. `on_load` runs again if its own code has changed.
    pub(super) fn adopt_unit(&self, unit: &Arc<Connection>) {
        let Some(new) = unit.namespace().version() else {
            return;
        };
        let Some(old) = unit.version() else {
            return self.load_unit(unit, &new);
        };
        if Arc::ptr_eq(&old, &new) {
            return;
        }
        let handles = Handles::for_namespace(GLOBALS.resolve);
        let runs_again = old.reach(Hook::Load).hash() != new.reach(Hook::Load).hash();
        let needs = !runs_again && new.needs_variables(&old, Hook::Load);
        let drafts = needs.then(|| drafts::of_load(unit, (&old, &new)));
        let turn = Turn::new(unit.clone());
        let mut adopted = turn.run(|| unit.adopt((&old, &new), &handles, drafts));
        adopted.for_namespace = true;
        unit.namespace().note_adopted(adopted);
        if runs_again {
            let draft = Draft::new(api::freeze(), unit.tape().as_deref(), None);
            let (base, _) = drafts::run(unit, &old, Hook::Load, draft);
            let before = unit.take_registered();
            self.on_load(unit, &new);
            unit.merge_registered(before, &base.registered);
        }
    }

    pub(super) fn on_load(&self, unit: &Arc<Connection>, version: &Arc<Version>) {
        if let Some(hook) = Handler::of_hook(version, Hook::Load) {
            let (result, tape) = Turn::new(unit.clone()).record(|| hook.call(vec![]));
            unit.keep_tape(tape);
            if let Err(error) = result {
                self.failed(unit, &hook, error, &"`on_load`");
            }
        }
    }

    /// Calls `on_reload`, the first call of a new version on a live connection. `before` has the number of the previous
    /// version, and the values that the captured variables had in it.
    fn reloaded(
        &self,
        connection: &Arc<Connection>,
        version: &Arc<Version>,
        before: Option<(u64, Vec<(ImmutableString, Dynamic)>)>,
    ) {
        let Some(hook) = Handler::of_hook(version, Hook::Reload) else {
            return;
        };
        let mut args = vec![Dynamic::from(Socket(connection.clone()))];
        args.extend(before.map(|(number, variables)| {
            let now: BTreeSet<_> = connection
                .variables()
                .into_iter()
                .map(|(name, _)| name)
                .collect();
            previous_state(number, variables, &now).into()
        }));
        connection.reload(|| self.call(connection, &hook, args, "`on_reload`"));
    }
}

/// Drafts a connection that was not connected when the others were drafted. Returns `None` if its new draft fails: the
/// connection then keeps everything that the old code has registered, but with the new code.
fn late_drafts(
    connection: &Arc<Connection>,
    versions: (&Arc<Version>, &Arc<Version>),
) -> Option<Drafts> {
    let Drafted { drafts, fails } = drafts::pair(connection, versions);
    match fails {
        Fails::Now(_) => {
            drafts.release();
            None
        }
        Fails::No | Fails::Still(_) => Some(drafts),
    }
}

/// Returns the effects that the adoption of a version would have, and changes nothing. It must be called in the
/// connection's turn.
pub(in crate::host) fn rehearse(
    connection: &Arc<Connection>,
    new: &Arc<Version>,
    drafts: Option<Drafts>,
) -> Option<Adopted> {
    let old = connection.version()?;
    if new.starts_over() {
        drafts.iter().for_each(Drafts::release);
        return Some(Adopted::anew());
    }
    let drafts = drafts.filter(|drafts| is_for(drafts, &old));
    let handles = handles(connection);
    let turn = Turn::new(connection.clone());
    Some(turn.run(|| connection.rehearse((&old, new), &handles, drafts)))
}

/// Returns `true` if `on_reload` of a version has a second parameter, for the state before the reload.
fn wants_before(version: &Arc<Version>) -> bool {
    let hook = Handler::of_hook(version, Hook::Reload);
    hook.is_some_and(|hook| hook.parameters() == Some(2))
}

/// Returns the second argument of `on_reload`: a map with `version`, `vars` and `lost`.
fn previous_state(
    version: u64,
    variables: Vec<(ImmutableString, Dynamic)>,
    now: &BTreeSet<ImmutableString>,
) -> Map {
    let is_lost = |(name, _): &&(ImmutableString, Dynamic)| !now.contains(name);
    let lost = variables.iter().filter(is_lost);
    let lost: Array = lost.map(|(name, _)| name.clone().into()).collect();
    // Closures and handles are left out, because they belong to the previous version.
    let plain = variables.into_iter();
    let vars: Map = plain
        .filter_map(|(name, value)| Some((name.as_str().into(), value::plain(&value).ok()?)))
        .collect();
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    Map::from([
        ("version".into(), version.into()),
        ("vars".into(), vars.into()),
        ("lost".into(), lost.into()),
    ])
}

/// Returns a handler that was queued, with the code of the current version of its connection.
pub(super) fn current(connection: &Arc<Connection>, handler: Arc<Handler>) -> Arc<Handler> {
    let handles = handles(connection);
    Turn::new(connection.clone()).run(|| connection.current(handler, &handles))
}

/// Returns the handles that every closure of a connection can use, such as `socket` and `io`.
fn handles(connection: &Arc<Connection>) -> Handles {
    let socket = Dynamic::from(Socket(connection.clone()));
    Handles::new(socket, GLOBALS.resolve)
}

/// Returns `true` if drafts were made for a transition from the version that the connection has; otherwise releases
/// them.
fn is_for(drafts: &Drafts, old: &Arc<Version>) -> bool {
    let is_for = Arc::ptr_eq(&drafts.from, old);
    if !is_for {
        drafts.release();
    }
    is_for
}
