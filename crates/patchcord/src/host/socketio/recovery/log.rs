//! Log of the events of a namespace, for clients that come back.

mod packed;

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::offset::{Epoch, Offset};
use crate::connection::Target;

/// Rooms of a socket, each with its position in the order of all joins.
pub(in crate::host::socketio) type Rooms = BTreeMap<Arc<str>, u64>;

/// Recipients of an event.
#[derive(Debug)]
pub(in crate::host::socketio) enum Recipients {
    /// The socket with this id.
    One(Arc<str>),
    /// All sockets.
    All,
    /// The sockets that a target selects.
    Some(Box<Target>),
}

impl Recipients {
    pub(in crate::host::socketio) fn new(target: &Target) -> Self {
        match target.rooms.is_empty() && target.except.is_empty() {
            true => Self::All,
            false => Self::Some(Box::new(target.clone())),
        }
    }

    /// Returns the memory that they use outside of an entry, in bytes.
    fn size(&self) -> usize {
        let Self::Some(target) = self else {
            return 0;
        };
        let rooms = target.rooms.iter().chain(&target.except);
        let rooms = rooms.map(|room| size_of::<String>() + room.len());
        size_of::<Target>() + rooms.sum::<usize>()
    }
}

/// Socket that may be a recipient.
#[derive(Debug)]
pub(super) struct Recipient<'a> {
    pub(super) id: &'a str,
    /// Rooms, each with its position in the order of all joins.
    pub(super) rooms: &'a Rooms,
    pub(super) in_own_room: bool,
}

#[derive(Debug)]
struct Entry {
    recipients: Recipients,
    frames: Bytes,
    /// Position of the last join of a room before the event.
    joins: u64,
    at: Instant,
}

impl Entry {
    fn size(&self) -> usize {
        size_of::<Self>() + self.frames.len() + self.recipients.size()
    }

    fn is_for(&self, one: &Recipient<'_>) -> bool {
        let is_in = |room: &String| {
            let position = one.rooms.get(room.as_str());
            one.in_own_room && room == one.id || position.is_some_and(|at| *at <= self.joins)
        };
        match &self.recipients {
            Recipients::One(id) => **id == *one.id,
            Recipients::All => true,
            Recipients::Some(target) => {
                let is_included = target.rooms.is_empty() || target.rooms.iter().any(is_in);
                is_included && !target.except.iter().any(is_in)
            }
        }
    }
}

/// Events of a namespace, numbered from 1. The oldest ones are given up.
#[derive(Debug)]
pub(super) struct Log {
    epoch: Epoch,
    /// Number of the first entry, or of the next event if there is none.
    first: u64,
    entries: VecDeque<Entry>,
}

/// Events that a client has missed.
#[derive(Debug, Default)]
pub(super) struct Missed {
    pub(super) frames: Vec<Bytes>,
    pub(super) bytes: usize,
    /// Number of the last of them.
    pub(super) last: Option<u64>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            epoch: Epoch::new(),
            first: 1,
            entries: VecDeque::new(),
        }
    }

    /// Returns the number of the last event, or 0.
    pub(super) fn last(&self) -> u64 {
        self.first + self.entries.len() as u64 - 1
    }

    /// Returns the offset of an event.
    pub(super) fn offset(&self, number: u64) -> String {
        self.epoch.offset(number)
    }

    /// Returns the number of the event that a client names as the last one that it has received. `begins` is the last
    /// event before it connected. Returns `None` if there is no such event.
    pub(super) fn received(&self, offset: Option<&str>, begins: u64) -> Option<u64> {
        match offset.map(|text| self.epoch.parse(text)) {
            // The client keeps the offset of an earlier session until it receives an event.
            None | Some(Offset::Foreign) => Some(begins),
            Some(Offset::Number(number)) => (number <= self.last()).then(|| number.max(begins)),
            Some(Offset::Invalid) => None,
        }
    }

    /// Adds the next event. Returns the memory that it uses, in bytes.
    pub(super) fn push(
        &mut self,
        recipients: Recipients,
        frames: Bytes,
        joins: u64,
        at: Instant,
    ) -> usize {
        let entry = Entry {
            recipients,
            frames,
            joins,
            at,
        };
        let size = entry.size();
        self.entries.push_back(entry);
        size
    }

    /// Returns `true` if the log still has all events after this one.
    pub(super) const fn reaches(&self, number: u64) -> bool {
        number + 1 >= self.first
    }

    /// Returns the events after `number` for a socket; `None` if the log no longer has all of them.
    pub(super) fn missed(&self, number: u64, one: &Recipient<'_>) -> Option<Missed> {
        let from = (number + 1).checked_sub(self.first)?;
        let mut missed = Missed::default();
        let entries = self.entries.iter().zip(self.first..);
        for (entry, number) in entries.skip(usize::try_from(from).ok()?) {
            if entry.is_for(one) {
                missed.frames.push(entry.frames.clone());
                missed.bytes += entry.frames.len();
                missed.last = Some(number);
            }
        }
        Some(missed)
    }

    /// Drops the oldest events as long as `wants` accepts the number of bytes given up so far and the time of the
    /// next event. Returns the number of bytes given up.
    pub(super) fn give_up(&mut self, wants: impl Fn(usize, Instant) -> bool) -> usize {
        let mut freed = 0;
        while let Some(entry) = self.entries.front()
            && wants(freed, entry.at)
        {
            freed += entry.size();
            self.entries.pop_front();
            self.first += 1;
        }
        if self.entries.capacity() > 64 && self.entries.len() < self.entries.capacity() / 8 {
            self.entries.shrink_to(2 * self.entries.len());
        }
        freed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(rooms: &[&str], except: &[&str]) -> Target {
        let mut target = Target::everyone();
        target.rooms = rooms.iter().map(|&room| room.to_owned()).collect();
        target.except = except.iter().map(|&room| room.to_owned()).collect();
        target
    }

    #[test]
    fn a_client_misses_what_was_sent_to_it_or_to_its_rooms() {
        let mut log = Log::new();
        let now = Instant::now();
        let mut push = |recipients, text: &'static str| {
            log.push(recipients, Bytes::from_static(text.as_bytes()), 5, now);
        };
        let of = |rooms: &[&str], except: &[&str]| Recipients::new(&target(rooms, except));
        push(Recipients::All, "all");
        push(Recipients::One("me".into()), "me");
        push(Recipients::One("you".into()), "you");
        push(of(&["red"], &[]), "red");
        push(of(&["blue"], &[]), "blue");
        push(of(&["me"], &[]), "to me");
        push(of(&[], &["me"]), "all but me");
        push(of(&["blue", "red"], &[]), "both");
        push(of(&["red"], &["late"]), "before I joined");
        let rooms = BTreeMap::from([("red".into(), 3), ("late".into(), 6)]);
        let me = |in_own_room| Recipient {
            id: "me",
            rooms: &rooms,
            in_own_room,
        };
        let texts = |from, in_own_room| {
            let missed = log.missed(from, &me(in_own_room)).unwrap();
            let texts = missed.frames.iter();
            let texts = texts.map(|frames| String::from_utf8_lossy(frames).into_owned());
            (texts.collect::<Vec<_>>().join(", "), missed.last)
        };
        let all = "all, me, red, to me, both, before I joined";
        assert_eq!(texts(0, true), (all.to_owned(), Some(9)));
        let all = "all, me, red, all but me, both, before I joined";
        assert_eq!(texts(0, false), (all.to_owned(), Some(9)));
        assert_eq!(texts(8, true), ("before I joined".to_owned(), Some(9)));
        assert_eq!(texts(9, true), (String::new(), None));
    }

    #[test]
    fn events_that_were_given_up_are_not_missed_silently() {
        let mut log = Log::new();
        let (now, rooms) = (Instant::now(), BTreeMap::new());
        let me = Recipient {
            id: "me",
            rooms: &rooms,
            in_own_room: true,
        };
        assert_eq!(log.last(), 0);
        let sizes: Vec<_> = (0..3)
            .map(|_| log.push(Recipients::All, Bytes::from_static(b"text"), 0, now))
            .collect();
        assert_eq!(log.give_up(|freed, _| freed < sizes[0]), sizes[0]);
        assert!(log.missed(0, &me).is_none() && !log.reaches(0));
        assert!(log.reaches(1) && log.reaches(3));
        assert_eq!(log.missed(1, &me).unwrap().frames.len(), 2);
        assert_eq!(log.give_up(|_, _| true), sizes[1] + sizes[2]);
        assert_eq!(
            (log.last(), log.missed(3, &me).unwrap().frames.len()),
            (3, 0)
        );
        assert_eq!(log.received(Some(&log.offset(2)), 0), Some(2));
        assert_eq!(log.received(Some(&log.offset(2)), 3), Some(3));
        assert_eq!(log.received(Some(&log.offset(4)), 0), None);
        assert_eq!(log.received(None, 3), Some(3));
    }
}
