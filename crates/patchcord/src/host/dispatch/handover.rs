//! State that an earlier process has left, and that this one leaves to the next: connections whose clients may come
//! back, the units of namespaces, and who is online.

use std::{collections::HashMap, sync::Arc};

use rhai::{Dynamic, ImmutableString, Map};

use super::Dispatcher;
use crate::{
    api::{self, GLOBALS},
    connection::{Connection, Draft, Namespace, Packing, Turn, Unpacking, VersionTexts},
    host::dispatch::drafts,
    script::{Handles, Hook, Version},
};

impl Dispatcher {
    /// Returns what a namespace leaves to the next process, as plain data. Its connections are kept, or have ended.
    pub(in crate::host) fn pack(&self, namespace: &Namespace) -> Dynamic {
        let mut packing = Packing::new(&api::name_handle);
        let link = namespace.link().map(|link| link.pack(&mut packing));
        let unit = namespace.pack_unit(&mut packing);
        Dynamic::from_map(Map::from([
            ("recovery".into(), link.unwrap_or_default()),
            ("unit".into(), unit),
            ("versions".into(), packing.into_versions()),
        ]))
    }

    /// Returns what an earlier process has left of the clients of a namespace, with the versions that these had. Called
    /// once for each namespace.
    pub(in crate::host) fn take_inherited(&self, path: &str) -> Option<(Dynamic, Dynamic)> {
        let stored = self.stored.as_ref()?;
        let packed = stored.take_inherited(path, "recovery")?;
        Some((packed, stored.inherited(path, "versions")?))
    }

    /// Creates the connections of a namespace that an earlier process has kept, with their listeners, timers and
    /// variables.
    pub(in crate::host) fn unpack_connections(
        &self,
        namespace: &Arc<Namespace>,
        packed: &[Dynamic],
        versions: &Dynamic,
    ) -> Vec<Option<Arc<Connection>>> {
        let connections: Vec<_> = packed
            .iter()
            .map(|packed| Connection::unpack(packed, namespace))
            .collect();
        let by_id: HashMap<_, _> = connections
            .iter()
            .flatten()
            .map(|one| (one.id().clone(), one.clone()))
            .collect();
        let socket = |of: &Arc<Namespace>, id: &str| {
            let here = by_id.get(id).filter(|_| Arc::ptr_eq(of, namespace));
            here.cloned().unwrap_or_else(|| socket_of(of, id))
        };
        self.unpacking(namespace, versions, &socket, |unpacking| {
            for (packed, connection) in packed.iter().zip(&connections) {
                if let Some(connection) = connection {
                    connection.unpack_registered(packed, unpacking);
                }
            }
        });
        connections
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
        let inherited = stored.and_then(|stored| {
            let packed = stored.take_inherited(namespace.path(), "unit")?;
            Some((packed, stored.inherited(namespace.path(), "versions")?))
        });
        let Some((packed, versions)) = inherited else {
            return false;
        };
        let mut is_unpacked = false;
        self.unpacking(namespace, &versions, &socket_of, |unpacking| {
            is_unpacked = unit.unpack_unit(&packed, unpacking);
        });
        is_unpacked
    }

    /// Makes the keys present that the sockets of an earlier process held, for their grace time.
    pub(super) fn expect_present(&self, namespace: &Arc<Namespace>) {
        let stored = self.stored.as_ref();
        let stored = stored.filter(|_| self.options.clients.recovery.is_some());
        let recovery = stored.and_then(|one| one.inherited(namespace.path(), "recovery"));
        for (key, meta) in recovery.iter().flat_map(present) {
            namespace.expect_present(&key, &meta);
        }
    }

    fn unpacking(
        &self,
        namespace: &Arc<Namespace>,
        versions: &Dynamic,
        socket: &dyn Fn(&Arc<Namespace>, &str) -> Arc<Connection>,
        unpack: impl FnOnce(&Unpacking<'_>),
    ) {
        let namespaces = self.namespaces.upgrade();
        let find = |path: &str| match path == &**namespace.path() {
            true => Some(namespace.clone()),
            false => namespaces.as_ref()?.find(path),
        };
        let named = |names: &Dynamic| api::named_handle(names, &find, socket);
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

/// Returns the keys under which kept sockets were present, with their metas.
fn present(recovery: &Dynamic) -> Vec<(ImmutableString, Dynamic)> {
    let keys = |socket: &Dynamic| {
        let socket = socket.as_map_ref().ok()?;
        let connection = socket.get("connection")?.as_map_ref().ok()?;
        let present = connection.get("present")?.as_map_ref().ok()?;
        let keys = present.iter();
        let keys = keys.map(|(key, meta)| (key.as_str().into(), meta.clone()));
        Some(keys.collect::<Vec<_>>())
    };
    let recovery = recovery.as_map_ref().ok();
    let sockets = recovery.as_ref().and_then(|one| one.get("sockets"));
    let sockets = sockets.and_then(|sockets| sockets.as_array_ref().ok());
    let sockets = sockets.iter().flat_map(|sockets| sockets.iter());
    sockets.filter_map(keys).flatten().collect()
}
