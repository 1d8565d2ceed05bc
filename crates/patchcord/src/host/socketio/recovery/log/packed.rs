//! A log as plain data, for the next process.

use std::collections::VecDeque;

use bytes::Bytes;
use rhai::{Array, Dynamic};
use tokio::time::Instant;

use super::{Entry, Log, Recipients};
use crate::{
    connection::{Target, text_of},
    host::socketio::recovery::{
        inherited::{instant, number, packed_instant, packed_number},
        offset::Epoch,
    },
};

impl Recipients {
    fn pack(&self) -> Dynamic {
        match self {
            Self::One(id) => (&**id).into(),
            Self::All => Dynamic::UNIT,
            Self::Some(target) => {
                let names = |names: &[String]| -> Dynamic {
                    let names: Array = names.iter().map(|name| name.as_str().into()).collect();
                    names.into()
                };
                vec![names(&target.rooms), names(&target.except)].into()
            }
        }
    }

    fn unpack(packed: &Dynamic) -> Option<Self> {
        if packed.is_unit() {
            return Some(Self::All);
        }
        let Ok(parts) = packed.as_array_ref() else {
            return Some(Self::One(text_of(packed)?.into()));
        };
        let [rooms, except] = parts.as_slice() else {
            return None;
        };
        let names = |packed: &Dynamic| {
            let names = packed.as_array_ref().ok()?;
            names.iter().map(text_of).collect::<Option<Vec<_>>>()
        };
        let mut target = Target::everyone();
        (target.rooms, target.except) = (names(rooms)?, names(except)?);
        Some(Self::Some(Box::new(target)))
    }
}

impl Entry {
    fn pack(&self) -> Dynamic {
        Dynamic::from_array(vec![
            self.recipients.pack(),
            Dynamic::from_blob(self.frames.to_vec()),
            packed_number(self.joins),
            packed_instant(self.at),
        ])
    }

    fn unpack(packed: &Dynamic) -> Option<Self> {
        let packed = packed.as_array_ref().ok()?;
        let [recipients, frames, joins, at] = packed.as_slice() else {
            return None;
        };
        Some(Self {
            recipients: Recipients::unpack(recipients)?,
            frames: Bytes::copy_from_slice(&frames.as_blob_ref().ok()?),
            joins: number(joins)?,
            at: instant(at)?.min(Instant::now()),
        })
    }
}

impl Log {
    /// Returns the log as plain data.
    pub(in crate::host::socketio::recovery) fn pack(&self) -> Dynamic {
        Dynamic::from_array(vec![
            self.epoch.text().into(),
            packed_number(self.first),
            Dynamic::from_array(self.entries.iter().map(Entry::pack).collect()),
        ])
    }

    /// Returns the log that [`Log::pack`] has packed, and the memory that it uses, in bytes; `None` if it is malformed.
    pub(in crate::host::socketio::recovery) fn unpack(packed: &Dynamic) -> Option<(Self, usize)> {
        let packed = packed.as_array_ref().ok()?;
        let [epoch, first, entries] = packed.as_slice() else {
            return None;
        };
        let entries = entries.as_array_ref().ok()?;
        let entries: VecDeque<_> = entries.iter().map(Entry::unpack).collect::<Option<_>>()?;
        let size = entries.iter().map(Entry::size).sum();
        let log = Self {
            epoch: Epoch::of(text_of(epoch)?),
            first: number(first).filter(|first| *first > 0)?,
            entries,
        };
        Some((log, size))
    }
}
