//! Sockets of one namespace, and its rooms.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use parking_lot::RwLock;
use rhai::{Array, Map};

use super::member::{Member, Membership, Place};
use crate::{
    connection::{Named, NamespaceLink, Packing, SendError, Target},
    host::{
        socketio::recovery::{Identity, Inherited, NamespaceRecovery, Recipients, Recovery, Rooms},
        transport::{encode, wire::Wire},
    },
    value::EncodedEvent,
};

/// Sockets of one namespace, and its rooms. Lists of sockets are in the order of connecting, or of joining a room.
#[derive(Debug)]
pub(in crate::host::socketio) struct Members {
    path: Arc<str>,
    table: RwLock<Table>,
    /// Log of events, and kept connections; `None` if recovery is off.
    recovery: Option<Arc<NamespaceRecovery>>,
}

#[derive(Debug, Default)]
struct Table {
    /// Number of the last socket or join.
    last: u64,
    present: Listed,
    by_id: HashMap<Arc<str>, Arc<Member>>,
    rooms: HashMap<Arc<str>, Room>,
}

/// Room that has sockets.
#[derive(Debug)]
struct Room {
    /// Number of the first join of the room.
    created: u64,
    /// Sockets, in the order of their joins.
    members: Listed,
}

/// Sockets in order, and a list of them for broadcasts, which iterate over the list without a lock.
#[derive(Debug, Default)]
struct Listed {
    by_number: BTreeMap<u64, Arc<Member>>,
    list: OnceLock<Arc<[Arc<Member>]>>,
}

impl Listed {
    fn add(&mut self, number: u64, member: &Arc<Member>) {
        self.by_number.insert(number, member.clone());
        self.list.take();
    }

    fn remove(&mut self, number: u64) {
        self.by_number.remove(&number);
        self.list.take();
    }

    fn list(&self) -> Arc<[Arc<Member>]> {
        let list = self
            .list
            .get_or_init(|| self.by_number.values().cloned().collect());
        list.clone()
    }
}

impl Members {
    pub(in crate::host::socketio) fn new(
        path: &Arc<str>,
        recovery: Option<(Arc<Recovery>, Option<Inherited>)>,
    ) -> Arc<Self> {
        let inherited = recovery
            .as_ref()
            .and_then(|(_, inherited)| inherited.as_ref());
        let table = Table {
            last: inherited.map_or(0, |inherited| inherited.joins),
            ..Table::default()
        };
        Arc::new(Self {
            path: path.clone(),
            table: RwLock::new(table),
            recovery: recovery.map(|(host, inherited)| NamespaceRecovery::new(&host, inherited)),
        })
    }

    /// Returns the path of the namespace.
    pub(super) const fn path(&self) -> &Arc<str> {
        &self.path
    }

    /// Returns the log of events and the kept connections; `None` if recovery is off.
    pub(super) const fn recovery(&self) -> Option<&Arc<NamespaceRecovery>> {
        self.recovery.as_ref()
    }

    /// Creates a socket that is not present yet.
    pub(super) fn expect(&self, wire: Arc<Wire>) -> Arc<Member> {
        let identity = self.recovery.is_some().then(Identity::new);
        Arc::new(Member::new(self.next_number(), wire, identity))
    }

    /// Creates a socket with the id of an earlier one, for a client that comes back.
    pub(super) fn expect_again(
        &self,
        id: &Arc<str>,
        identity: Arc<Identity>,
        wire: Arc<Wire>,
    ) -> Arc<Member> {
        let number = self.next_number();
        Arc::new(Member::with_id(id.clone(), number, wire, Some(identity)))
    }

    fn next_number(&self) -> u64 {
        let mut table = self.table.write();
        table.last += 1;
        table.last
    }

    /// Makes a socket present, because its CONNECT is answered.
    pub(super) fn enter(&self, member: &Arc<Member>) {
        let mut table = self.table.write();
        let mut place = member.place.lock();
        if place.membership == Membership::Expected {
            place.membership = Membership::Present;
            table.present.add(member.number, member);
            table.by_id.insert(member.id.clone(), member.clone());
        }
    }

    /// Adds a socket to rooms, in which an earlier socket of its client has these positions.
    pub(super) fn join_again(&self, member: &Arc<Member>, rooms: &Rooms, in_own_room: bool) {
        let mut table = self.table.write();
        let mut place = member.place.lock();
        place.has_left_own_room |= !in_own_room;
        for (room, position) in rooms {
            if place.membership != Membership::Gone && !place.rooms.contains_key(room) {
                table.join(member, &mut place, (room, *position));
            }
        }
    }

    /// Removes a socket. It can join no room from now on.
    pub(super) fn leave(&self, member: &Member) {
        let mut table = self.table.write();
        table.present.remove(member.number);
        // A client that has come back has another socket with this id.
        if table
            .by_id
            .get(&member.id)
            .is_some_and(|one| one.number == member.number)
        {
            table.by_id.remove(&member.id);
        }
        shrink(&mut table.by_id);
        let mut place = member.place.lock();
        place.membership = Membership::Gone;
        table.leave_all(&mut place);
    }

    /// Adds a socket to rooms, unless it has left.
    pub(super) fn join(&self, member: &Arc<Member>, rooms: &[String]) {
        let mut table = self.table.write();
        let mut place = member.place.lock();
        if place.membership == Membership::Gone {
            return;
        }
        for room in rooms {
            place.has_left_own_room &= **room != *member.id;
            if place.rooms.contains_key(&**room) {
                continue;
            }
            table.last += 1;
            let position = table.last;
            table.join(member, &mut place, (room, position));
        }
    }

    /// Removes a socket from a room.
    pub(super) fn leave_room(&self, member: &Member, room: &str) {
        let mut table = self.table.write();
        let mut place = member.place.lock();
        place.has_left_own_room |= *room == *member.id;
        if let Some(position) = place.rooms.remove(room) {
            table.leave(room, position);
        }
    }

    /// Removes a socket from all its rooms.
    pub(super) fn leave_rooms(&self, member: &Member) {
        let mut table = self.table.write();
        let mut place = member.place.lock();
        place.has_left_own_room = true;
        table.leave_all(&mut place);
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

    /// Returns the rooms of a socket with their positions.
    pub(super) fn positions_of(member: &Member) -> Rooms {
        member.place.lock().rooms.clone()
    }

    /// Sends an event to one socket, and logs it for a client that comes back.
    pub(super) fn send_logged(
        &self,
        recovery: &NamespaceRecovery,
        member: &Member,
        event: &EncodedEvent<'_>,
    ) {
        let mut due = None;
        let deliver = |frames: &Bytes, number| {
            if let Some(wire) = self.current_wire(member) {
                note_sent(member, number);
                due = wire.queue(frames.clone()).then_some(wire);
            }
            0
        };
        let recipients = Recipients::One(member.id.clone());
        recovery.send(recipients, |offset| self.encode(event, offset), deliver);
        // Without the lock of the log, because listeners of the host may hear of the end of a slow client.
        due.iter().for_each(Wire::write_waiting);
    }

    /// Returns the wire of a socket, or that of the later socket with which its client has come back in the meantime;
    /// `None` if the client is away.
    fn current_wire(&self, member: &Member) -> Option<Arc<Wire>> {
        let membership = member.place.lock().membership;
        if membership != Membership::Gone {
            return Some(member.wire.clone());
        }
        let table = self.table.read();
        let later = table.by_id.get(&member.id);
        later.map(|later| later.wire.clone())
    }

    /// Sends an event that is not logged to one socket. It has an offset if the client would take its last argument for
    /// one.
    pub(super) fn send_unlogged(
        &self,
        recovery: &NamespaceRecovery,
        member: &Member,
        event: &EncodedEvent<'_>,
    ) -> bool {
        if !event.packet().text.ends_with("\"]") {
            let frames = encode::event(&self.path, None, event.packet());
            return member.wire.send(frames);
        }
        let mut is_due = false;
        recovery.send_unlogged(|offset, number| {
            note_sent(member, number);
            is_due = member.wire.queue(self.encode(event, offset));
        });
        if is_due {
            member.wire.write_waiting();
        }
        true
    }

    /// Sends an event to all sockets that `target` selects, and logs it for clients that come back.
    fn broadcast_logged(
        &self,
        recovery: &NamespaceRecovery,
        target: &Target,
        event: &EncodedEvent<'_>,
    ) {
        let mut due = Vec::new();
        let deliver = |frames: &Bytes, number| {
            let mut shared = None;
            self.select(&self.named(target), |member| {
                let frames = shared.get_or_insert_with(|| member.wire.share(frames.clone()));
                note_sent(member, number);
                if member.wire.queue(frames.clone()) {
                    due.push(member.wire.clone());
                }
            });
            self.table.read().last
        };
        let recipients = Recipients::new(target);
        recovery.send(recipients, |offset| self.encode(event, offset), deliver);
        due.iter().for_each(Wire::write_waiting);
    }

    /// Finds the rooms of a target that are socket ids. A client may have come back since the sender has looked.
    fn named<'a>(&self, target: &'a Target) -> Named<'a> {
        let table = self.table.read();
        let is_id = |room: &&str| {
            let member = table.by_id.get(*room);
            member.is_some_and(|member| !member.place.lock().has_left_own_room)
        };
        Named {
            target,
            ids: target
                .rooms
                .iter()
                .map(|room| &**room)
                .filter(is_id)
                .collect(),
            except: target
                .except
                .iter()
                .map(|room| &**room)
                .filter(is_id)
                .collect(),
        }
    }

    fn encode(&self, event: &EncodedEvent<'_>, offset: &str) -> Bytes {
        encode::event_with_offset(&self.path, event.packet(), offset)
    }

    /// Calls `each` with the sockets that a broadcast reaches.
    fn select(&self, named: &Named<'_>, mut each: impl FnMut(&Arc<Member>)) {
        let target = named.target;
        let is_out = |member: &Member| {
            let is_named = named.except.iter().any(|id| **id == *member.id);
            let is_in = |place: &Place| {
                let mut except = target.except.iter();
                except.any(|room| place.rooms.contains_key(&**room))
            };
            is_named || !target.except.is_empty() && is_in(&member.place.lock())
        };
        let table = self.table.read();
        if target.rooms.is_empty() {
            let all = table.present.list();
            drop(table);
            match target.except.is_empty() && named.except.is_empty() {
                true => all.iter().for_each(each),
                false => all.iter().filter(|member| !is_out(member)).for_each(each),
            }
            return;
        }
        let own = named.ids.iter().filter_map(|id| table.by_id.get(&**id));
        let own: Vec<_> = own.cloned().collect();
        let rooms = target.rooms.iter();
        let rooms = rooms.filter_map(|room| table.rooms.get(&**room));
        let rooms: Vec<_> = rooms.map(|room| room.members.list()).collect();
        drop(table);
        let mut found = HashSet::new();
        let is_one = target.rooms.len() == 1 && own.is_empty();
        for member in own.iter().chain(rooms.iter().flat_map(|room| room.iter())) {
            let is_present = member.place.lock().membership == Membership::Present;
            if is_present && !is_out(member) && (is_one || found.insert(member.number)) {
                each(member);
            }
        }
    }
}

impl Table {
    /// Adds a socket to a room.
    fn join(&mut self, member: &Arc<Member>, place: &mut Place, (room, position): (&str, u64)) {
        let name = self.name(room);
        let room = self.rooms.entry(name.clone()).or_insert_with(|| Room {
            created: position,
            members: Listed::default(),
        });
        room.members.add(position, member);
        place.rooms.insert(name, position);
    }

    /// Returns the name of a room, in memory that all sockets of the room share.
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
        if let Some(there) = self.rooms.get_mut(room) {
            there.members.remove(position);
            if there.members.by_number.is_empty() {
                self.rooms.remove(room);
                shrink(&mut self.rooms);
            }
        }
    }
}

impl NamespaceLink for Members {
    fn emit(&self, named: &Named<'_>, event: &EncodedEvent<'_>) -> Result<(), SendError> {
        if let Some(recovery) = &self.recovery {
            self.broadcast_logged(recovery, named.target, event);
            return Ok(());
        }
        let mut shared = None;
        self.select(named, |member| {
            // The event is in memory once, however many clients it waits for.
            let frames = shared.get_or_insert_with(|| {
                let frames = encode::event(&self.path, None, event.packet());
                member.wire.share(frames)
            });
            // A client that has left, or was disconnected, receives nothing more.
            member.wire.send(frames.clone());
        });
        Ok(())
    }

    fn ids(&self, named: &Named<'_>) -> Vec<String> {
        let mut ids = Vec::new();
        self.select(named, |member| ids.push(member.id.to_string()));
        ids
    }

    fn rooms(&self) -> Vec<String> {
        let table = self.table.read();
        let mut rooms: Vec<_> = table.rooms.iter().collect();
        rooms.sort_unstable_by_key(|(_, room)| room.created);
        let names = rooms.into_iter().map(|(name, _)| name.to_string());
        names.collect()
    }

    fn left(&self, id: &str, may_return: bool) -> bool {
        let recovery = self.recovery.as_ref();
        recovery.is_some_and(|recovery| recovery.left(id, may_return))
    }

    fn pack(&self, packing: &mut Packing<'_>) -> Option<Map> {
        let joins = self.table.read().last;
        self.recovery.as_ref()?.pack(packing, joins)
    }

    fn inherited(&self) -> Option<Array> {
        self.recovery.as_ref()?.inherited()
    }

    fn end_kept(&self) {
        self.recovery.iter().for_each(|recovery| recovery.end_all());
    }
}

/// Records that an event was sent to a client.
fn note_sent(member: &Member, number: u64) {
    if let Some(identity) = &member.identity {
        identity.note_sent(number);
    }
}

/// Frees the unused memory of a table from which most entries were removed.
fn shrink<V>(table: &mut HashMap<Arc<str>, V>) {
    if table.len() < table.capacity() / 8 {
        let few = 2 * table.len();
        table.shrink_to(few);
    }
}
