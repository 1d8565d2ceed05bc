//! A kept connection, and the unit of a namespace, as plain data for the next process.

use std::{collections::BTreeMap, sync::Arc};

use rhai::{Dynamic, Identifier, Map};

use super::{Connection, recovery::KeptPresence};
use crate::{
    connection::{Client, Namespace, Packing, Phase, Registered, Unpacking, handover::text_of},
    value::{packed_value, unpacked_value},
};

impl Connection {
    /// Returns a kept connection as plain data.
    pub fn pack(&self, packing: &mut Packing<'_>) -> Dynamic {
        let state = self.state();
        let present = state.present_for_return.iter();
        let present = present.flat_map(|one| one.keys.iter());
        let present: Map = present
            .map(|(key, meta)| (key.as_str().into(), meta.clone()))
            .collect();
        let first = state.data_at_handshake.as_deref().cloned();
        let registered = packing.registered(&state.registered, state.version.as_ref());
        Dynamic::from_map(Map::from([
            ("id".into(), (&**self.id()).into()),
            ("data".into(), self.pack_data()),
            ("first_data".into(), packed_map(first.unwrap_or_default())),
            ("present".into(), packed_map(present)),
            ("registered".into(), registered),
        ]))
    }

    /// Returns `socket.data`: each key with its value and its deadline.
    fn pack_data(&self) -> Dynamic {
        let data = self.data.get();
        let map = data.map(|data| data.to_map("")).unwrap_or_default();
        let entry = |(key, value): (Identifier, Dynamic)| {
            let deadline = data.and_then(|data| data.deadline(&key));
            let deadline = deadline.map_or(Dynamic::UNIT, Dynamic::from);
            Dynamic::from_array(vec![key.into(), packed_value(&value), deadline])
        };
        Dynamic::from_array(map.into_iter().map(entry).collect())
    }

    /// Creates the connection that [`Connection::pack`] has packed, without its registrations. It is kept for its
    /// client. Returns `None` if the data is malformed.
    pub fn unpack(packed: &Dynamic, namespace: &Arc<Namespace>) -> Option<Arc<Self>> {
        let packed = packed.as_map_ref().ok()?;
        let id: Arc<str> = text_of(packed.get("id")?)?.into();
        let client = Client::new(&id);
        let connection = Self::of_client(client, id, namespace.clone(), Dynamic::UNIT, 0);
        for entry in packed.get("data")?.as_array_ref().ok()?.iter() {
            let entry = entry.as_array_ref().ok()?;
            let [key, value, deadline] = entry.as_slice() else {
                return None;
            };
            let key = key.as_immutable_string_ref().ok()?;
            connection.data().set(&key, unpacked_value(value)?);
            connection.data().set_deadline(&key, deadline.as_int().ok());
        }
        let first = unpacked_map(packed.get("first_data")?)?;
        let keys: BTreeMap<_, _> = unpacked_map(packed.get("present")?)?
            .into_iter()
            .map(|(key, meta)| (key.as_str().into(), meta))
            .collect();
        let mut state = connection.state();
        state.data_at_handshake = Some(first).filter(|data| !data.is_empty()).map(Box::new);
        state.present_for_return = (!keys.is_empty()).then(|| Box::new(KeptPresence { keys }));
        drop(state);
        connection.phase.advance(Phase::Handshaking, Phase::Away);
        Some(connection)
    }

    /// Sets the registrations of a connection of [`Connection::unpack`]. If they cannot be unpacked, `on_connection` runs
    /// for its client as for a new one.
    pub fn unpack_registered(&self, packed: &Dynamic, unpacking: &Unpacking<'_>) {
        let packed = packed.as_map_ref().ok();
        let packed = packed.as_ref().and_then(|packed| packed.get("registered"));
        let clock = self.namespace.driver().clock();
        let unpacked = packed.and_then(|packed| unpacking.registered(packed, clock));
        if let Some((registered, version)) = unpacked {
            let mut state = self.state();
            (state.registered, state.version) = (registered, Some(version));
        }
    }

    /// Stops the timers of a unit. They keep their due times.
    pub fn stop_timers(&self) {
        self.state().registered.timers.stop();
    }

    /// Returns the registrations of the unit of a namespace as plain data.
    pub fn pack_unit(&self, packing: &mut Packing<'_>) -> Dynamic {
        let state = self.state();
        packing.registered(&state.registered, state.version.as_ref())
    }

    /// Sets, for the unit of a namespace, the registrations that [`Connection::pack_unit`] has packed, and the version that
    /// they had. Returns `false` if they cannot be unpacked.
    pub fn unpack_unit(&self, packed: &Dynamic, unpacking: &Unpacking<'_>) -> bool {
        let clock = self.namespace.driver().clock();
        let unpacked = unpacking.registered(packed, clock);
        let is_unpacked = unpacked.is_some();
        if let Some((registered, version)) = unpacked {
            let mut state = self.state();
            (state.registered, state.version) = (registered, Some(version));
        }
        is_unpacked
    }

    /// Replaces the values that could not be packed by those of `fresh`, which the same text has registered.
    pub fn replace_lost(&self, fresh: &Registered) {
        self.state().registered.replace_lost(fresh);
    }
}

/// Returns a map as a blob.
fn packed_map(map: Map) -> Dynamic {
    packed_value(&map.into())
}

/// Returns the map of [`packed_map`].
fn unpacked_map(packed: &Dynamic) -> Option<Map> {
    unpacked_value(packed)?.try_cast()
}
