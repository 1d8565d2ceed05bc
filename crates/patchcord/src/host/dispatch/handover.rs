//! State that an earlier process has left, and that this one leaves to the next: connections whose clients may come
//! back, the units of namespaces, and who is online.

use std::{collections::HashMap, sync::Arc};

use rhai::{Dynamic, Map};

use super::Dispatcher;
use crate::{
    api::{self, GLOBALS},
    connection::{Connection, Draft, Namespace, Packing, Turn, Unpacking, VersionTexts},
    host::dispatch::drafts,
    script::{Handles, Hook, Version},
    value::{packed_value, unpacked_value},
};

/// Part of a record that has the kept connections and the log of a namespace.
const RECOVERY: &str = "recovery";
/// Part that has the unit of a namespace.
const UNIT: &str = "unit";
/// Part that has the keys that are present.
const PRESENT: &str = "present";

impl Dispatcher {
    /// Returns what a namespace leaves to the next process, as plain data, in parts. Its connections are kept, or have
    /// ended. `present` has the keys that are present, with their metas.
    pub(in crate::host) fn pack(&self, namespace: &Namespace, present: Map) -> Map {
        let mut packing = Packing::new(&api::name_handle);
        let recovery = namespace.link().and_then(|link| link.pack(&mut packing));
        let recovery = recovery.map(|mut recovery| {
            let versions = packing.into_versions();
            recovery.entry("versions".into()).or_insert(versions);
            recovery
        });
        let mut packing = Packing::new(&api::name_handle);
        let unit = namespace.pack_unit(&mut packing);
        let unit = (!unit.is_unit()).then(|| vec![unit, packing.into_versions()]);
        let present = (!present.is_empty()).then(|| packed_value(&present.into()));
        let parts = [
            (RECOVERY, recovery.map(Dynamic::from)),
            (UNIT, unit.map(Dynamic::from)),
            (PRESENT, present),
        ];
        let parts = parts.into_iter();
        parts
            .filter_map(|(name, part)| Some((name.into(), part?)))
            .collect()
    }

    /// Returns what an earlier process has left of the clients of a namespace. Called once for each namespace.
    pub(in crate::host) fn take_inherited(&self, path: &str) -> Option<Dynamic> {
        self.stored.as_ref()?.take_inherited(path, RECOVERY)
    }

    /// Creates the connections of a namespace that an earlier process has kept, with their listeners, timers and
    /// variables. It blocks.
    pub(in crate::host) fn unpack_connections(
        &self,
        namespace: &Arc<Namespace>,
        packed: &[Dynamic],
        versions: &Dynamic,
    ) -> Vec<Option<Arc<Connection>>> {
        if let Some(stored) = &self.stored {
            stored.use_inherited();
        }
        let prepared = self.prepared.lock().remove(namespace.path());
        let connections = prepared.unwrap_or_else(|| unpack_all(packed, namespace));
        self.unpacking(namespace, versions, &connections, |unpacking| {
            for (packed, connection) in packed.iter().zip(&connections) {
                if let Some(connection) = connection {
                    connection.unpack_kept(packed, unpacking);
                }
            }
        });
        connections
    }

    /// Frees what an earlier process has left, and was not used.
    pub(in crate::host) fn forget_inherited(&self) {
        self.prepared.lock().clear();
        if let Some(stored) = &self.stored {
            stored.forget_inherited();
        }
    }

    /// Runs `on_load` of a namespace for the first time in this process. The closures that it has registered in an
    /// earlier process keep their variables, and its timers their due times.
    pub(super) fn load_unit(&self, unit: &Arc<Connection>, version: &Arc<Version>) {
        let has_inherited = self.inherit_unit(unit);
        let Some(old) = unit.version().filter(|_| has_inherited) else {
            unit.begin_as(version);
            return self.on_load(unit, version);
        };
        let draft = Draft::new(api::freeze(), None, None);
        let (base, _) = drafts::run(unit, version, Hook::Load, draft);
        if !Arc::ptr_eq(&old, version) {
            let handles = Handles::for_namespace(GLOBALS.resolve);
            let turn = Turn::new(unit.clone());
            turn.run(|| unit.adopt((&old, version), &handles, None));
        }
        unit.replace_lost(&base.registered);
        let before = unit.take_registered();
        self.on_load(unit, version);
        unit.merge_registered(before, &base.registered);
    }

    fn inherit_unit(&self, unit: &Arc<Connection>) -> bool {
        let namespace = unit.namespace();
        let stored = self.stored.as_ref();
        let inherited = stored.and_then(|stored| stored.take_inherited(namespace.path(), UNIT));
        let inherited = inherited.and_then(|inherited| inherited.into_array().ok());
        let Some([packed, versions]) = inherited.as_deref() else {
            return false;
        };
        let connections = self.prepare(namespace);
        let mut is_unpacked = false;
        self.unpacking(namespace, versions, &connections, |unpacking| {
            is_unpacked = unit.unpack_registered(packed, unpacking);
        });
        is_unpacked
    }

    /// Creates the kept connections of a namespace, for variables of its unit, before they are taken in.
    fn prepare(&self, namespace: &Arc<Namespace>) -> Vec<Option<Arc<Connection>>> {
        let stored = self.stored.as_ref();
        let packed = stored.and_then(|stored| {
            stored.inherited(namespace.path(), RECOVERY, |recovery| {
                let sockets = recovery.as_map_ref().ok()?.get("sockets")?.clone();
                sockets.into_array().ok()
            })
        });
        let of_link = || namespace.link().and_then(|link| link.inherited());
        let Some(packed) = packed.flatten().or_else(of_link) else {
            return Vec::new();
        };
        let connection = |socket: &Dynamic| {
            let socket = socket.as_map_ref().ok()?;
            socket.get("connection").cloned()
        };
        let packed: Vec<_> = packed.iter().filter_map(connection).collect();
        let connections = unpack_all(&packed, namespace);
        let path = namespace.path().clone();
        self.prepared.lock().insert(path, connections.clone());
        connections
    }

    /// Makes the keys present that were present at the end of an earlier process, for their grace time.
    pub(super) fn expect_present(&self, namespace: &Arc<Namespace>) {
        let stored = self.stored.as_ref();
        let present = stored.and_then(|one| one.take_inherited(namespace.path(), PRESENT));
        let present = present.filter(|_| self.options.clients.recovery.is_some());
        let present = present.and_then(|packed| unpacked_value(&packed)?.try_cast::<Map>());
        for (key, meta) in present.unwrap_or_default() {
            namespace.expect_present(&key.as_str().into(), &meta);
        }
    }

    fn unpacking(
        &self,
        namespace: &Arc<Namespace>,
        versions: &Dynamic,
        connections: &[Option<Arc<Connection>>],
        unpack: impl FnOnce(&Unpacking<'_>),
    ) {
        let known = connections.iter().flatten();
        let known: HashMap<_, _> = known.map(|one| (&**one.id(), one)).collect();
        let socket = |of: &Arc<Namespace>, id: &str| {
            let here = known.get(id).filter(|_| Arc::ptr_eq(of, namespace));
            here.map_or_else(|| socket_of(of, id), |one| Arc::clone(one))
        };
        let namespaces = self.namespaces.upgrade();
        let find = |path: &str| match path == &**namespace.path() {
            true => Some(namespace.clone()),
            false => namespaces.as_ref()?.find(path),
        };
        let named = |names: &Dynamic| api::named_handle(names, &find, &socket);
        let compile = |texts: VersionTexts| self.version_of(namespace, &texts);
        unpack(&Unpacking::new(&named, versions, &compile));
    }

    /// Returns the version with these texts: the one that serves, or else one that is compiled again.
    fn version_of(&self, namespace: &Namespace, texts: &VersionTexts) -> Option<Arc<Version>> {
        let serving = namespace.version();
        let is_same = |version: &Arc<Version>| {
            *texts.entry == **version.entry() && texts.files == version.files()
        };
        serving.filter(is_same).or_else(|| {
            let (files, entry) = (&texts.files, &texts.entry);
            let compiled = self.scripting.compile_again(files, entry, texts.number);
            compiled.ok()
        })
    }
}

/// Returns the socket with an id, which a variable of an earlier process held. If there is none any more, it has ended.
fn socket_of(namespace: &Arc<Namespace>, id: &str) -> Arc<Connection> {
    namespace.connection(id).unwrap_or_else(|| {
        let gone = Connection::new(id, namespace.clone(), Dynamic::UNIT, 0);
        gone.close();
        gone
    })
}

fn unpack_all(packed: &[Dynamic], namespace: &Arc<Namespace>) -> Vec<Option<Arc<Connection>>> {
    let connections = packed.iter();
    connections
        .map(|packed| Connection::unpack(packed, namespace))
        .collect()
}
