//! Reads from outside: what a function returns that depends on more than the script. `on_connection` records them, and
//! drafts of an edit are answered from the record ([`Tape`](crate::connection::Tape)).

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash};

use rhai::{Dynamic, NativeCallContext, Variant};

use super::Fallible;
use crate::{
    connection::{self, Read, Turn},
    script,
};

/// A call of a function that reads from outside.
pub(crate) struct Outside {
    /// `None` in a call that is neither recorded nor a draft, which is the common case.
    read: Option<Read>,
    draws: bool,
}

impl Outside {
    /// Creates the call of a function with these arguments.
    pub(crate) fn call(name: &str, context: &NativeCallContext<'_>, args: impl Hash) -> Self {
        let read = Turn::is_taped().then(|| {
            let key = BuildHasherDefault::<DefaultHasher>::default().hash_one((name, args));
            Read::new(key, script::place_of_call(context))
        });
        Self { read, draws: false }
    }

    /// Says that the function changes what it reads.
    pub(crate) const fn drawing(mut self) -> Self {
        self.draws = true;
        self
    }

    /// Reads, or takes the answer from the tape.
    pub(crate) fn read<T: Variant + Clone>(
        self,
        real: impl FnOnce() -> Fallible<T>,
    ) -> Fallible<T> {
        self.read_where(|_| real())
    }

    /// Does the same for a function that reads the draft's copy, or the original if its argument is `true`.
    pub(crate) fn read_where<T: Variant + Clone>(
        self,
        read: impl FnOnce(bool) -> Fallible<T>,
    ) -> Fallible<T> {
        let Some(which) = self.read else {
            return read(true);
        };
        let is_original = match Turn::outside(which, self.draws) {
            connection::Outside::Known(value) => match value.try_cast_result::<T>() {
                Ok(known) => return Ok(known),
                // A function of the same name with a result of another type.
                Err(_) => false,
            },
            connection::Outside::Real | connection::Outside::Recorded => true,
            connection::Outside::Copied => false,
        };
        let value = read(is_original)?;
        Turn::note(which, &Dynamic::from(value.clone()));
        Ok(value)
    }
}
