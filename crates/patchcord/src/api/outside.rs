//! Outside reads: calls of functions whose result depends on more than the script. `on_connection` records the results,
//! and drafts of an edit receive the recorded results ([`Tape`](crate::connection::Tape)).

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use rhai::{Dynamic, NativeCallContext, Variant};

use super::Fallible;
use crate::{
    connection::{self, Read, Turn},
    script,
};

/// Returns a hash that identifies what is read.
pub(super) fn key(what: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(what)
}

/// Call of a function that reads from outside the script.
pub(crate) struct Outside {
    /// `None` if the call is neither recorded nor part of a draft, which is the common case.
    read: Option<Read>,
}

impl Outside {
    /// Creates a call of a function with these arguments.
    pub(crate) fn call(name: &str, context: &NativeCallContext<'_>, args: impl Hash) -> Self {
        Self::new(name, context, args, false)
    }

    /// Creates a call of a function that returns a new result each time.
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

    /// Returns the recorded result from the tape, or calls the function if there is none.
    pub(crate) fn read<T: Variant + Clone>(
        self,
        real: impl FnOnce() -> Fallible<T>,
    ) -> Fallible<T> {
        let Some(which) = self.read else {
            return real();
        };
        if let connection::Outside::Known(value) = Turn::outside(which)
            // A function of the same name may now return another type.
            && let Ok(known) = value.try_cast_result::<T>()
        {
            return Ok(known);
        }
        let value = real()?;
        Turn::note(which, &Dynamic::from(value.clone()));
        Ok(value)
    }
}
