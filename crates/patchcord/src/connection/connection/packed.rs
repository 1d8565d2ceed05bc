//! A kept connection, and the unit of a namespace, as plain data for the next process.

use std::{collections::BTreeMap, sync::Arc};

use rhai::{Dynamic, Identifier, Map};

use super::{Connection, recovery::KeptPresence};
use crate::{
    connection::{Client, Namespace, Packing, Phase, Registered, Unpacking, handover::text_of},
    script::release_lost,
    value::{packed_value, unpacked_value},
};

/// Key of the registrations of a kept connection.
const REGISTERED: &str = "registered";

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
        drop(state);
        Dynamic::from_map(Map::from([
            ("id".into(), (&**self.id()).into()),
            ("data".into(), self.pack_data()),
            ("first_data".into(), packed_map(first.unwrap_or_default())),
            ("present".into(), packed_map(present)),
            (REGISTERED.into(), self.pack_registered(packing)),
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

    /// Does the same as [`Connection::unpack_registered`], for a connection of [`Connection::unpack`] and its plain data.
    pub fn unpack_kept(&self, packed: &Dynamic, unpacking: &Unpacking<'_>) {
        let packed = packed.as_map_ref().ok();
        if let Some(packed) = packed.as_ref().and_then(|packed| packed.get(REGISTERED)) {
            self.unpack_registered(packed, unpacking);
        }
    }

    /// Stops the timers of a unit. They keep their due times.
    pub fn stop_timers(&self) {
        self.state().registered.timers.stop();
    }

    /// Returns the registrations as plain data.
    pub fn pack_registered(&self, packing: &mut Packing<'_>) -> Dynamic {
        let state = self.state();
        packing.registered(&state.registered, state.version.as_ref())
    }

    /// Sets the registrations that [`Connection::pack_registered`] has packed, and the version that they had. Returns
    /// `false` if they cannot be unpacked; then `on_connection` or `on_load` runs as for the first time.
    pub fn unpack_registered(&self, packed: &Dynamic, unpacking: &Unpacking<'_>) -> bool {
        let clock = self.namespace.driver().clock();
        let Some((registered, version)) = unpacking.registered(packed, clock) else {
            return false;
        };
        let mut state = self.state();
        (state.registered, state.version) = (registered, Some(version));
        state.may_have_lost_values = true;
        true
    }

    /// Returns `true` if values of the registrations could not be packed, and are not restored yet.
    pub fn may_have_lost_values(&self) -> bool {
        self.state().may_have_lost_values
    }

    /// Does the same as [`Connection::replace_lost`] with the registrations of a draft, which are not used any more.
    pub fn restore_lost(&self, draft: &Registered) {
        self.replace_lost(draft);
        release_lost(draft.handlers(), self.state().registered.handlers());
    }

    /// Replaces the values that could not be packed by those of `fresh`, which the same text has registered.
    pub fn replace_lost(&self, fresh: &Registered) {
        let mut state = self.state();
        state.registered.replace_lost(fresh);
        state.may_have_lost_values = false;
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
