//! Plain data of the log and the kept connections of one namespace, which an earlier process has left. All times are those
//! of the wall clock.

use std::{sync::Arc, time::Duration};

use rhai::{Dynamic, INT};
use tokio::time::Instant;

use super::{identity::Identity, log::Rooms};
use crate::{api, connection::text_of};

/// Log and kept connections that an earlier process has left.
#[derive(Debug, Default)]
pub(in crate::host) struct Inherited {
    pub(super) log: Dynamic,
    /// Position of the last join of a room.
    pub(in crate::host::socketio) joins: u64,
    /// Kept connections, which are unpacked before the first client connects.
    pub(super) sockets: Dynamic,
    /// Texts of the versions that they have.
    pub(super) versions: Dynamic,
}

impl Inherited {
    /// Reads what [`NamespaceRecovery::pack`] has packed.
    pub(in crate::host::socketio) fn new(packed: &Dynamic) -> Option<Self> {
        let packed = packed.as_map_ref().ok()?;
        Some(Self {
            log: packed.get("log")?.clone(),
            joins: number(packed.get("joins")?)?,
            sockets: packed.get("sockets")?.clone(),
            versions: packed.get("versions")?.clone(),
        })
    }
}

/// Kept connection as plain data, in parts.
pub(super) struct PackedSocket {
    pub(super) identity: Arc<Identity>,
    pub(super) rooms: Rooms,
    pub(super) in_own_room: bool,
    pub(super) left_at: u64,
    pub(super) until: Instant,
    pub(super) connection: Dynamic,
}

impl PackedSocket {
    pub(super) fn unpack(packed: &Dynamic) -> Option<Self> {
        let packed = packed.as_map_ref().ok()?;
        let rooms = packed.get("rooms")?.as_map_ref().ok()?;
        let rooms = rooms
            .iter()
            .map(|(room, position)| Some((room.as_str().into(), number(position)?)));
        Some(Self {
            identity: Identity::of(
                text_of(packed.get("pid")?)?.into(),
                number(packed.get("begins")?)?,
                number(packed.get("sent")?)?,
            ),
            rooms: rooms.collect::<Option<_>>()?,
            in_own_room: packed.get("in_own_room")?.as_bool().ok()?,
            left_at: number(packed.get("left_at")?)?,
            until: instant(packed.get("until")?)?,
            connection: packed.get("connection")?.clone(),
        })
    }
}

/// Returns a number as plain data.
pub(super) fn packed_number(number: u64) -> Dynamic {
    INT::try_from(number).unwrap_or(INT::MAX).into()
}

/// Returns a number of plain data.
pub(super) fn number(packed: &Dynamic) -> Option<u64> {
    packed.as_int().ok()?.try_into().ok()
}

/// Returns a moment as plain data: milliseconds since 1970.
pub(super) fn packed_instant(moment: Instant) -> Dynamic {
    let now = Instant::now();
    let ahead = milliseconds(moment.saturating_duration_since(now));
    let ago = milliseconds(now.saturating_duration_since(moment));
    (api::now() + ahead - ago).into()
}

/// Returns a moment of plain data.
pub(super) fn instant(packed: &Dynamic) -> Option<Instant> {
    let ahead = packed.as_int().ok()?.checked_sub(api::now())?;
    let distance = Duration::from_millis(ahead.unsigned_abs());
    let now = Instant::now();
    match ahead < 0 {
        true => Some(now.checked_sub(distance).unwrap_or(now)),
        false => now.checked_add(distance),
    }
}

fn milliseconds(time: Duration) -> INT {
    INT::try_from(time.as_millis()).unwrap_or(INT::MAX / 4)
}
