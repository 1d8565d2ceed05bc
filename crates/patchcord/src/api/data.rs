//! `io.data` and `socket.data`: maps that script calls share.

use std::sync::Arc;

use rhai::{
    Array, Dynamic, EvalAltResult, FnPtr, INT, ImmutableString, Map, Module, NativeCallContext,
    Variant, combine_with_exported_module, plugin::export_module,
};

use super::{
    Fallible,
    outside::{self, Outside},
    refuse, turn,
};
use crate::{
    connection::{Before, Call, Data, Effect, KeyUse, Turn, Work},
    diagnostic::type_word,
    script::{self, Handler, Limits, NoSum, limit, produce},
    value::{self, register_type},
};

/// Maximum number of attempts of `update`, which runs its closure again if another call has changed the key in the
/// meantime.
const UPDATE_TRIES: usize = 16;

/// Maximum size of data that is copied at once, in bytes. A larger copy would block all calls that use the data.
const MAX_WHOLE: usize = 4 << 20;

/// Maximum size in bytes of a value that is recorded even though the call does not depend on it.
const SMALL: usize = 512;

/// Record of the state of a key before a call. It stays empty if no tape needs it.
#[derive(Default)]
struct Noted {
    before: Option<Before>,
    /// `true` if the call has changed nothing.
    is_unchanged: bool,
}

impl Noted {
    /// Records the previous value.
    fn was(&mut self, value: Option<&Dynamic>) {
        if let Some(before) = &mut self.before {
            *before = Before::Was(value.cloned());
        }
    }

    /// Records a value that the call does not depend on, if it is small.
    fn may_have_been(&mut self, value: Option<&Dynamic>) {
        if self.before.is_some() && value.is_none_or(|value| value::weight(value) <= SMALL) {
            self.was(value);
        }
    }

    /// Records that there was a value. If the value is small, records the value too.
    fn was_present(&mut self, value: Option<&Dynamic>) {
        self.may_have_been(value);
        if let Some(before @ Before::Unknown) = &mut self.before {
            *before = Before::Present;
        }
    }
}

/// Returns `true` if both values are the same, or both are missing.
fn is_same(one: Option<&Dynamic>, other: Option<&Dynamic>) -> bool {
    match (one, other) {
        (Some(one), Some(other)) => value::same(one, other),
        (one, other) => one.is_none() && other.is_none(),
    }
}

/// Restores the earlier state of a key in a copy of the data.
fn restore(before: &Before, copy: &Data, key: &str) {
    match before {
        Before::Was(value) => copy.restore(key, value.clone()),
        Before::Present if copy.get(key).0.is_none() => copy.restore(key, Some(Dynamic::UNIT)),
        _ => {}
    }
}

/// Script handle for shared data.
#[derive(Debug, Clone)]
pub(crate) struct SharedMap {
    data: Arc<Data>,
    /// Function that returns the maximum size of the data, in bytes, from the limits.
    max: fn(&Limits) -> usize,
}

impl SharedMap {
    /// Creates a handle for data. Fails outside a call.
    pub(super) fn new(data: &Arc<Data>, max: fn(&Limits) -> usize) -> Fallible<Self> {
        turn("data")?;
        Ok(Self {
            data: data.clone(),
            max,
        })
    }

    /// Returns the data as the running call sees it: a draft has its own copy.
    fn data(&self) -> Arc<Data> {
        Turn::running_draft().map_or_else(|| self.data.clone(), |draft| draft.data(&self.data))
    }

    /// Returns a number that identifies the data.
    fn address(&self) -> usize {
        Arc::as_ptr(&self.data).addr()
    }

    /// Applies a function to a key. `on_connection` records the state of the key before its first use. A draft starts
    /// from a copy of this state, so that its result is the same as at connect time, whichever API function the new
    /// text calls.
    fn apply<T>(
        &self,
        key: &str,
        effect: Effect,
        mut apply: impl FnMut(&Arc<Data>, &mut Noted) -> Fallible<T>,
    ) -> Fallible<T> {
        if effect != Effect::Reads && self.data.refuses_writes() {
            return refuse(
                "`io.data` cannot be changed while it cannot be saved (`--data-required`)",
            );
        }
        if !Turn::is_taped() {
            return apply(&self.data, &mut Noted::default());
        }
        let identity = outside::key((self.address(), key));
        let draws = match self.is_of_own_socket() {
            true => Effect::Reads,
            false => effect,
        };
        let mut noted = Noted {
            before: Some(Before::Unknown),
            ..Noted::default()
        };
        let result = match Turn::key(identity, draws) {
            KeyUse::Copied(before) => {
                let copy = self.data();
                before.iter().for_each(|before| restore(before, &copy, key));
                apply(&copy, &mut noted)
            }
            KeyUse::Real(Some(Before::Was(value))) => {
                let then = Arc::new(Data::default());
                then.restore(key, value.clone());
                let result = apply(&then, &mut Noted::default());
                match (result, is_same(then.get(key).0.as_ref(), value.as_ref())) {
                    (Ok(_), false) => return self.draw(key, identity, noted, apply),
                    (result, _) => {
                        self.data().restore(key, value.clone());
                        noted = Noted {
                            before: Some(Before::Was(value)),
                            is_unchanged: true,
                        };
                        result
                    }
                }
            }
            KeyUse::Real(_) => return self.draw(key, identity, noted, apply),
            _ => apply(&self.data, &mut noted),
        };
        let before = noted.before.unwrap_or(Before::Unknown);
        let effect = if noted.is_unchanged {
            Effect::Reads
        } else {
            effect
        };
        // A failed call is recorded too: in the recorded state it would fail again.
        Turn::note_key(identity, before, effect);
        result
    }

    /// Applies a function to the live key in a draft, because each client gets a different result.
    fn draw<T>(
        &self,
        key: &str,
        identity: u64,
        mut noted: Noted,
        mut apply: impl FnMut(&Arc<Data>, &mut Noted) -> Fallible<T>,
    ) -> Fallible<T> {
        let result = apply(&self.data, &mut noted)?;
        self.data().restore(key, self.data.get(key).0);
        Turn::note_real_key(identity, noted.before.unwrap_or(Before::Unknown));
        Ok(result)
    }

    /// Reads a key, and remembers its value and stamp for a later write in the same call.
    fn read(&self, key: &str) -> Fallible<Dynamic> {
        self.apply(key, Effect::Reads, |data, before| {
            let (value, stamp) = data.look(key);
            before.was(value.as_deref());
            Turn::remember_read(data, key, (value.clone(), stamp));
            Ok(value.as_deref().cloned().unwrap_or_default())
        })
    }

    /// Reads all keys that begin with `prefix`.
    fn look_at_all<T: Variant + Clone>(
        &self,
        name: &str,
        context: &NativeCallContext<'_>,
        prefix: &str,
        look: impl FnOnce(&Data) -> Fallible<T>,
    ) -> Fallible<T> {
        let call = Outside::call(name, context, (self.address(), prefix));
        call.read(|| look(&self.data()))
    }

    /// Writes a key. Fails if another call has changed the key since this call read it: `io.data.users[id] = name`
    /// reads `users`, changes the copy, and writes it back. The key keeps its deadline.
    fn write(&self, key: &str, value: &Dynamic) -> Fallible {
        if self.is_as_read(key, value) {
            return Ok(());
        }
        self.write_with(key, value, |_| {})
    }

    /// Does the same, and sets the time after which the key expires, in milliseconds, or removes it.
    fn write_until(&self, key: &str, value: &Dynamic, ttl: Option<INT>) -> Fallible {
        if ttl.is_none() && !self.data().has_deadlines() {
            return self.write(key, value);
        }
        self.write_with(key, value, |data| {
            data.set_deadline(key, deadline(data, ttl));
        })
    }

    fn write_with(&self, key: &str, value: &Dynamic, then: impl Fn(&Data)) -> Fallible {
        let value = self.plain(key, value)?;
        self.apply(key, Effect::Sets, |data, before| {
            if before.before.is_some() {
                before.was_present(data.get(key).0.as_ref());
            }
            self.put(data, key, value.clone())?;
            then(data);
            Ok(())
        })
    }

    /// Returns `true` if the running call has read this value and writes it back unchanged. Rhai writes a property back
    /// after each method call on it, even after `io.data.users.len()`.
    fn is_as_read(&self, key: &str, value: &Dynamic) -> bool {
        let read = Turn::last_read(&self.data(), key);
        read.is_some_and(|(read, _)| match &read {
            Some(read) => value::same(read, value),
            None => value.is_unit(),
        })
    }

    /// Sets the time after which a key expires, in milliseconds. Returns `false` if there is no such key.
    fn expire(&self, key: &str, ttl: Option<INT>) -> Fallible<bool> {
        self.apply(key, Effect::Sets, |data, noted| {
            noted.may_have_been(data.look(key).0.as_deref());
            Ok(data.set_deadline(key, deadline(data, ttl)))
        })
    }

    /// Calls `closure` in the turn of the running call's connection when the store has everything.
    fn flush(&self, context: &NativeCallContext<'_>, closure: FnPtr) -> Fallible {
        let turn = turn("flush")?;
        if turn.draft.is_some() {
            return Ok(());
        }
        let Some(handler) = Handler::new(closure, context) else {
            let word = "flush";
            return refuse(format!("`{word}` works in script calls only"));
        };
        let (connection, of) = (turn.connection.clone(), turn.connection.beginnings());
        let flushed = move |result: Result<(), Arc<str>>| {
            let error = result.map_or_else(|error| error.to_string().into(), |()| Dynamic::UNIT);
            let call = Call::new(handler.into(), vec![error], "closure of `flush`", of);
            connection.post_elsewhere(Work::Call(call));
        };
        self.data.flush(Box::new(flushed));
        Ok(())
    }

    fn put(&self, data: &Arc<Data>, key: &str, value: Dynamic) -> Fallible {
        let Some((_, stamp)) = Turn::last_read(data, key) else {
            data.set(key, value);
            return Ok(());
        };
        let value = Arc::new(value);
        match data.set_if(key, stamp, value.clone()) {
            Ok(stamp) => {
                Turn::remember_read(data, key, (Some(value), stamp));
                Ok(())
            }
            Err(_) => refuse(format!(
                "`{key}` was changed by another call since this one read it: use `update`"
            )),
        }
    }

    /// Returns `true` for the `socket.data` of the socket whose call is running. An edit merges this data, and a draft
    /// does not change it.
    fn is_of_own_socket(&self) -> bool {
        Turn::current().is_some_and(|turn| Arc::ptr_eq(turn.connection.data(), &self.data))
    }

    /// Returns a copy of a value, to store it. Fails if the value does not fit within the limit.
    fn plain(&self, key: &str, value: &Dynamic) -> Fallible<Dynamic> {
        let value = copy(key, value)?;
        self.check_room(key, self.data().weight_without(key), &value)?;
        Ok(value)
    }

    /// Returns a copy of a value, to append it to an array. Fails if the value does not fit within the limit.
    fn room_to_push(&self, key: &str, value: &Dynamic) -> Fallible<Dynamic> {
        let value = copy(key, value)?;
        self.check_room(key, self.data().weight(), &value)?;
        Ok(value)
    }

    /// Rejects a value that would make the data larger than its limit. Concurrent writes may exceed the limit by the
    /// size of what they write.
    fn check_room(&self, key: &str, others: usize, value: &Dynamic) -> Fallible {
        let max = limit(self.max);
        match others.saturating_add(value::weight(value)) > max {
            true => refuse(format!(
                "`{key}` has no room: shared data holds up to {max} bytes"
            )),
            false => Ok(()),
        }
    }
}

/// Returns the keys that begin with `prefix`, and their values. Fails if they are too large to be copied at once.
fn whole(data: &Data, prefix: &str) -> Fallible<Map> {
    let weight = data.weight_of(prefix);
    if weight > MAX_WHOLE {
        return refuse(format!(
            "this data holds {weight} bytes and is not taken as a whole: take the keys that are needed"
        ));
    }
    produce(weight)?;
    Ok(data.to_map(prefix))
}

/// Returns the map behind a handle for data, or `None` for other values.
pub(super) fn as_map(value: &Dynamic) -> Option<Fallible<Map>> {
    let data = value.read_lock::<SharedMap>()?;
    Some(whole(&data.data(), ""))
}

/// Returns the deadline of a key that expires after `ttl` milliseconds, in milliseconds since 1970.
fn deadline(data: &Data, ttl: Option<INT>) -> Option<INT> {
    ttl.map(|ttl| data.now().saturating_add(ttl))
}

/// Returns the time after which a key expires, in milliseconds, from the options of `set`.
fn ttl_of(options: &Map) -> Fallible<Option<INT>> {
    if let Some(other) = options.keys().find(|key| *key != "ttl") {
        return refuse(format!("`set` knows the option `ttl`, and got `{other}`"));
    }
    options
        .get("ttl")
        .map(|ttl| milliseconds("ttl", ttl))
        .transpose()
}

fn milliseconds(name: &str, value: &Dynamic) -> Fallible<INT> {
    match value.as_int() {
        Ok(ms) if ms >= 0 => Ok(ms),
        Ok(ms) => refuse(format!(
            "`{name}` takes a time in milliseconds, and got {ms}"
        )),
        Err(_) => refuse(format!(
            "`{name}` takes a time in milliseconds, and got {}",
            type_word(value.type_name())
        )),
    }
}

fn all_keys(data: &Data, prefix: &str) -> Fallible<Array> {
    let keys = data.keys(prefix);
    produce(keys.len() * size_of::<Dynamic>())?;
    let keys = keys.into_iter();
    Ok(keys.map(|key| ImmutableString::from(key).into()).collect())
}

fn copy(key: &str, value: &Dynamic) -> Fallible<Dynamic> {
    value::plain(value)
        .or_else(|error| refuse(format!("`{key}` cannot be kept in shared data: {error}")))
}

/// Rejects an array that is longer than the limit, because no script could read it.
fn check_len(key: &str, len: usize) -> Fallible {
    let max = limit(|limits| limits.array_size);
    match len > max {
        true => refuse(format!(
            "`{key}` has no room: an array holds up to {max} elements"
        )),
        false => Ok(()),
    }
}

pub(super) fn register(module: &mut Module) {
    register_type::<SharedMap>(module, "SharedMap", |map| {
        INT::try_from(map.address()).ok().map(Dynamic::from)
    });
    combine_with_exported_module!(module, "data", functions);
}

#[export_module]
#[allow(
    clippy::unwrap_used,
    reason = "the macro writes it, for arguments that Rhai has checked"
)]
mod functions {
    /// Returns the value of a key, or `()` if there is none: `io.data[key]`, `io.data.key`.
    ///
    /// ```rhai
    /// if io.data["topic"] == () { print("nothing yet"); }
    /// print(io.data.topic);
    /// ```
    #[rhai_fn(index_get, pure, return_raw)]
    pub(crate) fn index(data: &mut SharedMap, key: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        data.read(key)
    }

    /// Sets the value of a key: `io.data[key] = value`, `io.data.key = value`. The value is copied. It must not contain
    /// a closure or a socket.
    ///
    /// ```rhai
    /// io.data.topic = "Rhai";
    /// socket.data["name"] = "Ada";
    /// ```
    #[rhai_fn(index_set, pure, return_raw)]
    pub(crate) fn set_index(
        data: &mut SharedMap,
        key: &str,
        value: Dynamic,
    ) -> Result<(), Box<EvalAltResult>> {
        data.write(key, &value)
    }

    /// Returns the value of a key, or `()` if there is none.
    ///
    /// ```rhai
    /// let topic = io.data.get("topic");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn get(data: &mut SharedMap, key: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        data.read(key)
    }

    /// Returns the value of a key, or `default_value` if there is none.
    ///
    /// ```rhai
    /// let topic = io.data.get("topic", "anything");
    /// ```
    #[rhai_fn(name = "get", pure, return_raw)]
    pub(crate) fn get_or(
        data: &mut SharedMap,
        key: &str,
        default_value: Dynamic,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        data.apply(key, Effect::Reads, |data, before| {
            let value = data.get(key).0;
            before.was(value.as_ref());
            Ok(value.unwrap_or_else(|| default_value.clone()))
        })
    }

    /// Sets the value of a key. The value is copied. It must not contain a closure or a socket. A key that was to expire
    /// no longer expires; an assignment (`io.data.key = value`) keeps the time at which the key expires.
    ///
    /// ```rhai
    /// io.data.set("topic", "Rhai");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn set(
        data: &mut SharedMap,
        key: &str,
        value: Dynamic,
    ) -> Result<(), Box<EvalAltResult>> {
        data.write_until(key, &value, None)
    }

    /// Sets the value of a key that expires. `options` is a map with `ttl`, the time in milliseconds after which the
    /// key is removed. With a store, it is removed in time even if the host is restarted meanwhile.
    ///
    /// ```rhai
    /// io.data.set("code:ada", 417, #{ ttl: 60_000 });
    /// ```
    #[rhai_fn(name = "set", pure, return_raw)]
    pub(crate) fn set_with(
        data: &mut SharedMap,
        key: &str,
        value: Dynamic,
        options: Map,
    ) -> Result<(), Box<EvalAltResult>> {
        data.write_until(key, &value, ttl_of(&options)?)
    }

    /// Removes a key after `ms` milliseconds. `()` instead of a number keeps the key from expiring. Returns `false` if
    /// there is no such key.
    ///
    /// ```rhai
    /// io.data.expire("topic", 3_600_000);
    /// io.data.expire("topic", ());
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn expire(
        data: &mut SharedMap,
        key: &str,
        ms: Dynamic,
    ) -> Result<bool, Box<EvalAltResult>> {
        let ttl = match ms.is_unit() {
            true => None,
            false => Some(milliseconds("expire", &ms)?),
        };
        data.expire(key, ttl)
    }

    /// Returns the time in milliseconds after which a key expires, or `()` if it does not expire, or does not exist.
    ///
    /// ```rhai
    /// io.data.set("code", 417, #{ ttl: 60_000 });
    /// print(io.data.ttl("code"));
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn ttl(
        context: NativeCallContext<'_>,
        data: &mut SharedMap,
        key: &str,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        data.look_at_all("ttl", &context, key, |data| {
            let left = data.deadline(key).map(|deadline| deadline - data.now());
            Ok(left.map_or(Dynamic::UNIT, |left| left.max(0).into()))
        })
    }

    /// Calls `closure` when everything that was written before is in the store (`--data`), the writes of the running
    /// call included. The closure receives `()`, or the error of the store. Without a store, nothing is kept over a
    /// restart, and the closure receives `()` at once. Use it where a client must know that its data is safe.
    ///
    /// ```rhai
    /// socket.on("order", |order, ack| {
    ///     io.data.push("orders", order, 1000);
    ///     io.data.flush(|err| ack.call(err == ()));
    /// });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn flush(
        context: NativeCallContext<'_>,
        data: &mut SharedMap,
        closure: FnPtr,
    ) -> Result<(), Box<EvalAltResult>> {
        data.flush(&context, closure)
    }

    /// Sets the value of a key if the key has no value yet. Returns the value that the key has afterwards.
    ///
    /// ```rhai
    /// io.data.init("history", []);
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn init(
        data: &mut SharedMap,
        key: &str,
        value: Dynamic,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let value = data.plain(key, &value)?;
        data.apply(key, Effect::Begins, |data, before| {
            Turn::forget_read(data, key);
            let old = data.init(key, || value.clone());
            before.was(old.as_ref());
            before.is_unchanged = old.is_some();
            Ok(old.unwrap_or_else(|| value.clone()))
        })
    }

    /// Removes a key, and returns its previous value.
    ///
    /// ```rhai
    /// io.data.remove("topic");
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn remove(data: &mut SharedMap, key: &str) -> Result<Dynamic, Box<EvalAltResult>> {
        data.apply(key, Effect::Changes, |data, before| {
            Turn::forget_read(data, key);
            let old = data.remove(key);
            before.was(old.as_ref());
            Ok(old.unwrap_or_default())
        })
    }

    /// Returns `true` if the key exists, as `key in io.data` does.
    ///
    /// ```rhai
    /// if !io.data.has("topic") { io.data.topic = "Rhai"; }
    /// if "topic" in io.data { print(io.data.topic); }
    /// ```
    #[rhai_fn(name = "has", name = "contains", pure, return_raw)]
    pub(crate) fn has(data: &mut SharedMap, key: &str) -> Result<bool, Box<EvalAltResult>> {
        data.apply(key, Effect::Reads, |data, before| {
            let value = data.get(key).0;
            before.was_present(value.as_ref());
            Ok(value.is_some())
        })
    }

    /// Returns all keys as an array, in alphabetical order.
    ///
    /// ```rhai
    /// for key in io.data.keys() { print(key); }
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn keys(
        context: NativeCallContext<'_>,
        data: &mut SharedMap,
    ) -> Result<Array, Box<EvalAltResult>> {
        data.look_at_all("keys", &context, "", |data| all_keys(data, ""))
    }

    /// Returns the keys that begin with `prefix` as an array, in alphabetical order.
    ///
    /// ```rhai
    /// for key in io.data.keys("user:") { print(key); }
    /// ```
    #[rhai_fn(name = "keys", pure, return_raw)]
    pub(crate) fn keys_of(
        context: NativeCallContext<'_>,
        data: &mut SharedMap,
        prefix: &str,
    ) -> Result<Array, Box<EvalAltResult>> {
        data.look_at_all("keys", &context, prefix, |data| all_keys(data, prefix))
    }

    /// Returns all keys and values as a map.
    ///
    /// ```rhai
    /// print(io.data.to_map());
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn to_map(
        context: NativeCallContext<'_>,
        data: &mut SharedMap,
    ) -> Result<Map, Box<EvalAltResult>> {
        data.look_at_all("to_map", &context, "", |data| whole(data, ""))
    }

    /// Returns the keys that begin with `prefix`, and their values, as a map.
    ///
    /// ```rhai
    /// io.data.set("score:ada", 3);
    /// print(io.data.to_map("score:"));
    /// ```
    #[rhai_fn(name = "to_map", pure, return_raw)]
    pub(crate) fn to_map_of(
        context: NativeCallContext<'_>,
        data: &mut SharedMap,
        prefix: &str,
    ) -> Result<Map, Box<EvalAltResult>> {
        data.look_at_all("to_map", &context, prefix, |data| whole(data, prefix))
    }

    /// Adds `by` to the number of a key, and returns the sum. A key without a value counts as 0. The sum is an integer
    /// if both numbers are integers.
    ///
    /// ```rhai
    /// let visitor = io.data.incr("visitors", 1);
    /// io.data.incr("distance", 0.5);
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn incr(
        data: &mut SharedMap,
        key: &str,
        by: Dynamic,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        let add = |number: &mut Dynamic| {
            let sum = script::sum(number, &by).map_err(|problem| match problem {
                NoSum::TooLarge => format!("`{key}` would pass the largest number there is"),
                NoSum::First(got) => format!("`{key}` is no number but {got}"),
                NoSum::Second(got) => format!("`incr` adds a number, and got {got}"),
            });
            match sum {
                Ok(sum) => {
                    *number = sum.clone();
                    Ok(sum)
                }
                Err(problem) => refuse(problem),
            }
        };
        data.apply(key, Effect::Changes, |data, before| {
            Turn::forget_read(data, key);
            data.modify(key, 0.into(), |number, _| {
                before.was(Some(number));
                add(number)
            })
        })
    }

    /// Appends `value` to the array of a key, and keeps only the last `keep_last` elements. A key without a value
    /// counts as an empty array.
    ///
    /// ```rhai
    /// io.data.push("history", "first", 50);
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn push(
        data: &mut SharedMap,
        key: &str,
        value: Dynamic,
        keep_last: INT,
    ) -> Result<(), Box<EvalAltResult>> {
        let value = data.room_to_push(key, &value)?;
        let keep = usize::try_from(keep_last).unwrap_or_default();
        let push = |list: &mut Dynamic, weighs: &mut usize| match list.as_array_mut() {
            Ok(mut list) => {
                let len = list.len() + 1;
                let too_many = len.saturating_sub(keep);
                check_len(key, len - too_many)?;
                *weighs += value::weight(&value);
                list.push(value.clone());
                for dropped in list.drain(..too_many) {
                    *weighs = weighs.saturating_sub(value::weight(&dropped));
                }
                Ok(())
            }
            Err(got) => refuse(format!("`{key}` is no array but {}", type_word(got))),
        };
        data.apply(key, Effect::Changes, |data, before| {
            Turn::forget_read(data, key);
            data.modify(key, Array::new().into(), |list, weighs| {
                before.may_have_been(Some(list));
                push(list, weighs)
            })
        })
    }

    /// Calls the closure `change` with the value of a key, or with `default_value` if the key has no value, and sets
    /// the key to the result. If another call changes the key in the meantime, `change` runs again, so it must have no
    /// side effects. `change` must return the new value: if it returns `()`, `update` fails and the key keeps its
    /// value. To remove a key, call `remove`.
    ///
    /// ```rhai
    /// io.data.update("votes", #{}, |votes| { votes["tea"] = (votes["tea"] ?? 0) + 1; votes });
    /// ```
    #[rhai_fn(pure, return_raw)]
    pub(crate) fn update(
        context: NativeCallContext<'_>,
        data: &mut SharedMap,
        key: &str,
        default_value: Dynamic,
        change: FnPtr,
    ) -> Result<Dynamic, Box<EvalAltResult>> {
        data.apply(key, Effect::Changes, |shared, before| {
            for _ in 0..UPDATE_TRIES {
                let (old, stamp) = shared.get(key);
                before.was(old.as_ref());
                let old = old.unwrap_or_else(|| default_value.clone());
                let new: Dynamic = change.call_within_context(&context, (old,))?;
                if new.is_unit() {
                    return refuse(format!(
                        "the closure of `update` returns nothing, and `{key}` stays as it is: it ends with the new value"
                    ));
                }
                let new = data.plain(key, &new)?;
                Turn::forget_read(shared, key);
                if shared.set_if(key, stamp, new.clone()).is_ok() {
                    return Ok(new);
                }
            }
            refuse(format!(
                "`{key}` was changed by others {UPDATE_TRIES} times while `update` ran"
            ))
        })
    }
}
