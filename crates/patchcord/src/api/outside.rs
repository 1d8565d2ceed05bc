//! Reads from outside: what a function returns that depends on more than the script. `on_connection` records them, and
//! drafts of an edit are answered from the record ([`Tape`](crate::connection::Tape)).

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use rhai::{Dynamic, NativeCallContext, Variant};

use super::Fallible;
use crate::{
    connection::{self, Read, Turn},
    script,
};

/// Returns what identifies something that is read.
pub(super) fn key(what: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(what)
}

/// A call of a function that reads from outside.
pub(crate) struct Outside {
    /// `None` in a call that is neither recorded nor a draft, which is the common case.
    read: Option<Read>,
}

impl Outside {
    /// Creates the call of a function with these arguments.
    pub(crate) fn call(name: &str, context: &NativeCallContext<'_>, args: impl Hash) -> Self {
        Self::new(name, context, args, false)
    }

    /// Creates the call of a function that has a result of its own each time.
    pub(crate) fn draw(name: &str, context: &NativeCallContext<'_>, args: impl Hash) -> Self {
        Self::new(name, context, args, true)
    }

    fn new(name: &str, context: &NativeCallContext<'_>, args: impl Hash, draws: bool) -> Self {
        let read = || {
            let place = script::place_of_call(context);
            Read::new(key((name, args)), place, draws)
        };
        Self {
            read: Turn::is_taped().then(read),
        }
    }

    /// Reads, or takes the answer from the tape.
    pub(crate) fn read<T: Variant + Clone>(
        self,
        real: impl FnOnce() -> Fallible<T>,
    ) -> Fallible<T> {
        let Some(which) = self.read else {
            return real();
        };
        if let connection::Outside::Known(value) = Turn::outside(which)
            // A function of the same name may have a result of another type.
            && let Ok(known) = value.try_cast_result::<T>()
        {
            return Ok(known);
        }
        let value = real()?;
        Turn::note(which, &Dynamic::from(value.clone()));
        Ok(value)
    }
}
