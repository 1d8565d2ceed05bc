//! Listeners as plain data, for another process.

use std::sync::Arc;

use rhai::{Array, Dynamic, INT};

use super::{Gone, Listener, Listeners, RegisteredBy};
use crate::script::{Packer, Unpacker};

impl RegisteredBy {
    /// Returns a number that stands for the origin.
    pub(in crate::connection) fn pack(self) -> Dynamic {
        let number = match self {
            Self::Connection => -1,
            Self::Handler => -2,
            Self::Reload(run) => INT::from(run),
        };
        number.into()
    }

    /// Returns the origin for which a number stands.
    pub(in crate::connection) fn unpack(packed: &Dynamic) -> Option<Self> {
        match packed.as_int().ok()? {
            -1 => Some(Self::Connection),
            -2 => Some(Self::Handler),
            run => u32::try_from(run).ok().map(Self::Reload),
        }
    }
}

/// Reasons by their numbers.
const REASONS: [Option<Gone>; 4] = [
    None,
    Some(Gone::Fired),
    Some(Gone::Off),
    Some(Gone::OffAtOnce),
];

impl Listener {
    fn pack(&self, packer: &mut Packer<'_>) -> Option<Dynamic> {
        let gone = REASONS.iter().position(|reason| *reason == self.gone)?;
        Some(Dynamic::from_array(vec![
            self.event.clone().into(),
            packer.handler(&self.handler)?,
            self.once.into(),
            self.made_by.pack(),
            INT::try_from(gone).ok()?.into(),
        ]))
    }

    fn unpack(packed: &Dynamic, unpacker: &Unpacker<'_>) -> Option<Self> {
        let packed = packed.as_array_ref().ok()?;
        let [event, handler, once, made_by, gone] = packed.as_slice() else {
            return None;
        };
        let gone = usize::try_from(gone.as_int().ok()?).ok()?;
        Some(Self {
            event: event.clone().into_immutable_string().ok()?,
            handler: Arc::new(unpacker.handler(handler)?),
            once: once.as_bool().ok()?,
            made_by: RegisteredBy::unpack(made_by)?,
            gone: *REASONS.get(gone)?,
            fired: 0,
        })
    }
}

impl Listeners {
    /// Returns the listeners as plain data; `None` if one of them has the code of an earlier version.
    pub(in crate::connection) fn pack(&self, packer: &mut Packer<'_>) -> Option<Array> {
        self.list.iter().map(|one| one.pack(packer)).collect()
    }

    /// Returns the listeners that [`Listeners::pack`] has packed; `None` if they are malformed.
    pub(in crate::connection) fn unpack(
        packed: &[Dynamic],
        unpacker: &Unpacker<'_>,
    ) -> Option<Self> {
        let list = packed.iter().map(|one| Listener::unpack(one, unpacker));
        Some(Self {
            list: list.collect::<Option<_>>()?,
            ..Self::default()
        })
    }
}
