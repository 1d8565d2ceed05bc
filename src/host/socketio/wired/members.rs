//! Sockets of one namespace, and its rooms.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use parking_lot::RwLock;

use super::member::{Member, Place, Presence};
use crate::{
    connection::{Named, NamespaceLink, SendError},
    host::transport::{encode, wire::Wire},
    value::EncodedEvent,
};

/// Sockets of one namespace, and its rooms. Lists of sockets are in the order of connecting, or of joining a room.
#[derive(Debug)]
pub(in crate::host::socketio) struct Members {
    path: Arc<str>,
    table: RwLock<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Number of the last socket, and of the last join.
    last: u64,
    present: BTreeMap<u64, Arc<Member>>,
    by_id: HashMap<Arc<str>, Arc<Member>>,
    rooms: HashMap<Arc<str>, Room>,
}

/// Sockets in a room, by the order of their joins.
type Room = BTreeMap<u64, Arc<Member>>;

impl Members {
    pub(in crate::host::socketio) fn new(path: &Arc<str>) -> Arc<Self> {
        Arc::new(Self {
            path: path.clone(),
            table: RwLock::default(),
        })
    }

    /// Returns the path of the namespace.
    pub(super) const fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// Creates a socket that is not present yet.
    pub(super) fn expect(&self, wire: Arc<Wire>) -> Arc<Member> {
        let mut table = self.table.write();
        table.last += 1;
        Arc::new(Member::new(table.last, wire))
    }

    /// Makes a socket present, because its CONNECT is answered.
    pub(super) fn enter(&self, member: &Arc<Member>) {
        let mut table = self.table.write();
        let mut place = member.place.lock();
        if place.presence == Presence::Expected {
            place.presence = Presence::Present;
            table.present.insert(member.number, member.clone());
            table.by_id.insert(member.id.clone(), member.clone());
        }
    }

    /// Removes a socket. It can join no room from now on.
    pub(super) fn leave(&self, member: &Member) {
        let mut table = self.table.write();
        table.present.remove(&member.number);
        table.by_id.remove(&member.id);
        shrink(&mut table.by_id);
        let mut place = member.place.lock();
        place.presence = Presence::Gone;
        table.leave_all(&mut place);
    }

    /// Lets a socket join rooms, unless it is gone.
    pub(super) fn join(&self, member: &Arc<Member>, rooms: &[String]) {
        let mut table = self.table.write();
        let mut place = member.place.lock();
        if place.presence == Presence::Gone {
            return;
        }
        for room in rooms {
            if place.rooms.contains_key(&**room) {
                continue;
            }
            table.last += 1;
            let position = table.last;
            let name = table.name(room);
            let members = table.rooms.entry(name.clone()).or_default();
            members.insert(position, member.clone());
            place.rooms.insert(name, position);
        }
    }

    /// Lets a socket leave a room.
    pub(super) fn leave_room(&self, member: &Member, room: &str) {
        let mut table = self.table.write();
        let position = member.place.lock().rooms.remove(room);
        if let Some(position) = position {
            table.leave(room, position);
        }
    }

    /// Lets a socket leave all its rooms.
    pub(super) fn leave_rooms(&self, member: &Member) {
        let mut table = self.table.write();
        table.leave_all(&mut member.place.lock());
    }

    /// Returns the rooms of a socket, in the order of joining.
    pub(super) fn rooms_of(&self, member: &Member) -> Vec<String> {
        let place = member.place.lock();
        let mut rooms: Vec<_> = place.rooms.iter().collect();
        rooms.sort_unstable_by_key(|(_, position)| **position);
        rooms
            .into_iter()
            .map(|(room, _)| room.to_string())
            .collect()
    }

    /// Returns the sockets that a broadcast reaches.
    fn select(&self, named: &Named<'_>) -> Vec<Arc<Member>> {
        let table = self.table.read();
        let target = named.target;
        let is_out = |member: &Member, place: &Place| {
            let mut except = target.except.iter();
            except.any(|room| place.rooms.contains_key(&**room))
                || named.except.iter().any(|id| **id == *member.id)
        };
        if target.rooms.is_empty() {
            let excepts = !target.except.is_empty() || !named.except.is_empty();
            let is_in = |member: &&Arc<Member>| !excepts || !is_out(member, &member.place.lock());
            return table.present.values().filter(is_in).cloned().collect();
        }
        let mut found = HashSet::new();
        let is_one = target.rooms.len() == 1 && named.ids.is_empty();
        let own = named.ids.iter().filter_map(|id| table.by_id.get(&**id));
        let rooms = target
            .rooms
            .iter()
            .filter_map(|room| table.rooms.get(&**room));
        own.chain(rooms.flat_map(BTreeMap::values))
            .filter(|member| {
                let place = member.place.lock();
                place.presence == Presence::Present && !is_out(member, &place)
            })
            .filter(|member| is_one || found.insert(member.number))
            .cloned()
            .collect()
    }
}

impl Table {
    /// Returns the name of a room, which all its sockets share.
    fn name(&self, room: &str) -> Arc<str> {
        match self.rooms.get_key_value(room) {
            Some((name, _)) => name.clone(),
            None => room.into(),
        }
    }

    /// Removes a socket from all its rooms.
    fn leave_all(&mut self, place: &mut Place) {
        for (room, position) in std::mem::take(&mut place.rooms) {
            self.leave(&room, position);
        }
    }

    fn leave(&mut self, room: &str, position: u64) {
        if let Some(members) = self.rooms.get_mut(room) {
            members.remove(&position);
            if members.is_empty() {
                self.rooms.remove(room);
                shrink(&mut self.rooms);
            }
        }
    }
}

impl NamespaceLink for Members {
    fn emit(&self, named: &Named<'_>, event: &EncodedEvent<'_>) -> Result<(), SendError> {
        let members = self.select(named);
        let Some(first) = members.first() else {
            return Ok(());
        };
        let frames = encode::event(&self.path, None, event.packet());
        // In memory once, however many clients it waits for.
        let frames = first.wire.share(frames);
        for member in members {
            // A client that has left, or was disconnected, receives nothing more.
            member.wire.send(frames.clone());
        }
        Ok(())
    }

    fn ids(&self, named: &Named<'_>) -> Vec<String> {
        let members = self.select(named);
        members.iter().map(|member| member.id.to_string()).collect()
    }

    fn rooms(&self) -> Vec<String> {
        let table = self.table.read();
        table.rooms.keys().map(|room| room.to_string()).collect()
    }
}

/// Gives back the memory of a table that most entries have left.
fn shrink<V>(table: &mut HashMap<Arc<str>, V>) {
    if table.len() < table.capacity() / 8 {
        let few = 2 * table.len();
        table.shrink_to(few);
    }
}
